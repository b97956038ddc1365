"""The server: sessions and their handlers, health, reflection, and their assembly."""

from __future__ import annotations

from .chat_server import ChatServer, Service
from .chat_service import CHAT_PATHS, Handler
from .client_address import AddressHeader, client_address
from .health import HealthService, ServingStatus
from .interceptors import CallHandler, Interceptor
from .metrics import MetricsOptions
from .replying import Reply
from .rooms import (
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomOptions,
    Rooms,
    RoomStatistics,
)
from .session import Peer, Session
from .tls import ServerTLS, TLSOptions
from .tracing import TracingOptions
from .usage import UsageLimits, UsageStatistics

__all__ = [
    "CHAT_PATHS",
    "AddressHeader",
    "CallHandler",
    "ChatServer",
    "Handler",
    "HealthService",
    "Interceptor",
    "MetricsOptions",
    "Peer",
    "Reply",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomOptions",
    "RoomStatistics",
    "Rooms",
    "ServerTLS",
    "Service",
    "ServingStatus",
    "Session",
    "TLSOptions",
    "TracingOptions",
    "UsageLimits",
    "UsageStatistics",
    "client_address",
]

"""The server: sessions and their handlers, health, reflection, and their assembly."""

from __future__ import annotations

from .chat_server import ChatServer, Service
from .chat_service import CHAT_PATHS, Handler
from .health import HealthService, ServingStatus
from .interceptors import CallHandler, Interceptor
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

__all__ = [
    "CHAT_PATHS",
    "CallHandler",
    "ChatServer",
    "Handler",
    "HealthService",
    "Interceptor",
    "Peer",
    "Reply",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomOptions",
    "RoomStatistics",
    "Rooms",
    "Service",
    "ServingStatus",
    "Session",
]

"""The parts of a chat server: sessions, rooms, health, reflection, metrics, tracing and TLS."""

from ..limits import UsageLimits
from .interceptors.forwarded_for import AddressHeader, client_address
from .reply_handler import Reply
from .rooms import RoomJoin, RoomLeave, RoomMessage, RoomOptions, Rooms, RoomStatistics
from .services.chat import CHAT_PATHS, Handler
from .services.health import HealthService, ServingStatus
from .session import CallHandler, Interceptor, Peer, Session
from .telemetry import MetricsOptions, TracingOptions
from .tls import ServerTLS, TLSOptions
from .usage import UsageStatistics

__all__ = [
    "CHAT_PATHS",
    "AddressHeader",
    "CallHandler",
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
    "ServingStatus",
    "Session",
    "TLSOptions",
    "TracingOptions",
    "UsageLimits",
    "UsageStatistics",
    "client_address",
]

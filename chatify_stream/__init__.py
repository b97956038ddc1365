"""Chatify Stream: a real-time chat stream server in pure Python.

`ChatServer` serves `service.v1.Service/Chat`, `ChatClient` and the generated `ServiceStub` call
it; every error raised by intent is a `ChatifyError`.
"""

from __future__ import annotations

from ._version import __version__
from .client import Backoff, Channel, ChannelState, ChatClient, ServiceStub
from .codec import frame_text
from .errors import (
    CallError,
    CancelledCallError,
    ChatifyError,
    ClosedError,
    ConfigError,
    DeadlineExceededError,
    ListenError,
    PeerProtocolError,
    StatusError,
    UnavailableError,
    UsageError,
)
from .messages.service.v1 import ChatReq, ChatRsp
from .server import ChatServer, HealthService, ServingStatus, Session
from .wire import Limits, Rate, Status

__all__ = [
    "Backoff",
    "CallError",
    "CancelledCallError",
    "Channel",
    "ChannelState",
    "ChatClient",
    "ChatReq",
    "ChatRsp",
    "ChatServer",
    "ChatifyError",
    "ClosedError",
    "ConfigError",
    "DeadlineExceededError",
    "HealthService",
    "Limits",
    "ListenError",
    "PeerProtocolError",
    "Rate",
    "ServiceStub",
    "ServingStatus",
    "Session",
    "Status",
    "StatusError",
    "UnavailableError",
    "UsageError",
    "__version__",
    "frame_text",
]

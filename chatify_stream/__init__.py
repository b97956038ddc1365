"""Chatify Stream: a real-time chat stream server in pure Python.

`ChatServer` serves `service.v1.Service/Chat`, direct and in rooms; `ChatClient` and the generated
`ServiceStub` call it; every error raised by intent is a `ChatifyError`.
"""

from __future__ import annotations

from ._version import __version__
from .chat import Retention, RetentionRule
from .client import (
    Backoff,
    Channel,
    ChannelState,
    ChatClient,
    Connected,
    DirectChat,
    Event,
    Gap,
    Joined,
    Left,
    Message,
    Reconnecting,
    RoomChat,
    ServiceStub,
)
from .codec import frame_text
from .errors import (
    BrokerError,
    CallError,
    CancelledCallError,
    ChatifyError,
    ClosedError,
    ConfigError,
    DeadlineExceededError,
    ListenError,
    PeerProtocolError,
    RefusedError,
    StatusError,
    TooLargeError,
    UnavailableError,
    UncheckedError,
    UsageError,
)
from .messages.service.v1 import ChatReq, ChatRsp
from .position import Position
from .server import (
    ChatServer,
    HealthService,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomOptions,
    Rooms,
    ServingStatus,
    Session,
)
from .wire import Limits, Rate, Status

__all__ = [
    "Backoff",
    "BrokerError",
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
    "Connected",
    "DeadlineExceededError",
    "DirectChat",
    "Event",
    "Gap",
    "HealthService",
    "Joined",
    "Left",
    "Limits",
    "ListenError",
    "Message",
    "PeerProtocolError",
    "Position",
    "Rate",
    "Reconnecting",
    "RefusedError",
    "Retention",
    "RetentionRule",
    "RoomChat",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomOptions",
    "Rooms",
    "ServiceStub",
    "ServingStatus",
    "Session",
    "Status",
    "StatusError",
    "TooLargeError",
    "UnavailableError",
    "UncheckedError",
    "UsageError",
    "__version__",
    "frame_text",
]

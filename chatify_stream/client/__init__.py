"""The client: ChatClient, the stub, and the channel under both."""

from __future__ import annotations

from ..wire import Backoff, Balancing, ChannelState, Status
from .channel import Channel
from .chat_client import CHAT_PATH, ChatClient
from .stub import ServiceStub

__all__ = [
    "CHAT_PATH",
    "Backoff",
    "Balancing",
    "Channel",
    "ChannelState",
    "ChatClient",
    "ServiceStub",
    "Status",
]

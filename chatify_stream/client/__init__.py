"""The clients: ChatClient in its two forms, the stub, and the channel under all of them."""

from __future__ import annotations

from ..wire import Backoff, Balancing, ChannelState, ClientTLS, Status, client_tls
from .channel import Channel
from .chat_client import CHAT_PATH, ChatClient
from .direct_chat import DirectChat
from .events import Connected, Event, Gap, Joined, Left, Message, Reconnecting
from .room_chat import RoomChat
from .stub import ServiceStub
from .tokens import Token

__all__ = [
    "CHAT_PATH",
    "Backoff",
    "Balancing",
    "Channel",
    "ChannelState",
    "ChatClient",
    "ClientTLS",
    "Connected",
    "DirectChat",
    "Event",
    "Gap",
    "Joined",
    "Left",
    "Message",
    "Reconnecting",
    "RoomChat",
    "ServiceStub",
    "Status",
    "Token",
    "client_tls",
]

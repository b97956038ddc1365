"""The clients: ChatClient, RoomClient and the generated stub, over one kind of channel."""

from ..wire import Backoff, Balancing, ChannelState, ClientTLS, Status, client_tls
from .call_metadata import Token
from .channel import CHAT_PATH, Channel
from .chat_client import ChatClient
from .events import Connected, Event, Gap, Joined, Left, Message, Reconnecting
from .room_client import RoomClient
from .stub import ServiceStub

__all__ = [
    "CHAT_PATH",
    "Backoff",
    "Balancing",
    "Channel",
    "ChannelState",
    "ChatClient",
    "ClientTLS",
    "Connected",
    "Event",
    "Gap",
    "Joined",
    "Left",
    "Message",
    "Reconnecting",
    "RoomClient",
    "ServiceStub",
    "Status",
    "Token",
    "client_tls",
]

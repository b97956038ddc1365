"""Rooms on a server: sessions, hooks, and what a program or an operator does with them."""

from ..services.rooms import ROOMS_SERVICE, RoomsService
from .api import Disconnected, Nodes, Rooms
from .grpc_transport import GrpcTransport
from .hooks import JoinHook, LeaveHook, MessageHook, RoomJoin, RoomLeave, RoomMessage, RoomObserver
from .node import Node, RoomStatistics
from .options import RoomOptions
from .session import RoomSession

__all__ = [
    "ROOMS_SERVICE",
    "Disconnected",
    "GrpcTransport",
    "JoinHook",
    "LeaveHook",
    "MessageHook",
    "Node",
    "Nodes",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomObserver",
    "RoomOptions",
    "RoomSession",
    "RoomStatistics",
    "Rooms",
    "RoomsService",
]

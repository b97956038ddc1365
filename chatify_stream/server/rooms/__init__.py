"""Rooms on a server: sessions, hooks, and what a program or an operator does with them."""

from __future__ import annotations

from .api import Rooms
from .hooks import JoinHook, LeaveHook, MessageHook, RoomJoin, RoomLeave, RoomMessage
from .joining import wants_room
from .node import Node, RoomStatistics
from .observing import RoomObserver
from .options import RoomOptions
from .service import ROOMS_SERVICE, RoomsService
from .session import RoomSession

__all__ = [
    "ROOMS_SERVICE",
    "JoinHook",
    "LeaveHook",
    "MessageHook",
    "Node",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomObserver",
    "RoomOptions",
    "RoomSession",
    "RoomStatistics",
    "Rooms",
    "RoomsService",
    "wants_room",
]

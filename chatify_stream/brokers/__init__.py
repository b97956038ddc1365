"""Brokers: where the logs of the rooms are kept, and who is in them."""

from __future__ import annotations

from .base import Broker, RoomInfo, RoomPage, Subscriber
from .memory import MemoryBroker
from .url import check_broker_url, make_broker

__all__ = [
    "Broker",
    "MemoryBroker",
    "RoomInfo",
    "RoomPage",
    "Subscriber",
    "check_broker_url",
    "make_broker",
]

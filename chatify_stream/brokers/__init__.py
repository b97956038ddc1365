"""Brokers keep the logs and the presence of rooms: in memory, in SQLite or in Redis."""

from .base import Answers, Broker, RoomInfo, RoomPage, Subscriber
from .memory import MemoryBroker
from .url import make_broker

__all__ = ["Answers", "Broker", "MemoryBroker", "RoomInfo", "RoomPage", "Subscriber", "make_broker"]

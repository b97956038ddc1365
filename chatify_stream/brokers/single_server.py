"""Presence of the brokers that serve a single server.

Presence is kept in memory only, because the sessions of the only server end with its process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from ..errors import BrokerError
from ..rooms import Presence
from ..rooms.position import Position
from .base import Answers, RoomInfo, Subscriber

__all__ = ["SingleServerBroker"]


class SingleServerBroker(ABC):
    """The presence half of a `Broker`; subclasses keep the logs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Keep the clock, which returns Unix time in seconds."""
        self._clock = clock
        self._presence = Presence()
        self._subscriber: Subscriber | None = None

    @property
    def is_available(self) -> bool:
        return self._subscriber is not None

    async def enter(self, room: str, user: str, session_id: str) -> None:
        subscriber = self._open_subscriber()
        if self._presence.enter(room, user, session_id):
            subscriber.presence_changed(room, user, True)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        if self._presence.leave(room, user, session_id) and self._subscriber is not None:
            self._subscriber.presence_changed(room, user, False)

    async def users(self, room: str) -> list[str]:
        self._open_subscriber()
        return self._presence.users(room)

    async def survey(self, command: bytes) -> Answers:
        self._open_subscriber()
        return Answers([], 0)

    @abstractmethod
    def _error(self, reason: str) -> BrokerError:
        """Return the error that names this broker."""

    @abstractmethod
    def _newest(self, room: str) -> Position:
        """Return the position of the newest message of a room; no epoch if the room is unknown."""

    def _info(self, room: str) -> RoomInfo:
        return RoomInfo(room, self._newest(room), self._presence.count(room))

    def _open_subscriber(self) -> Subscriber:
        if self._subscriber is None:
            raise self._error("not open")
        return self._subscriber

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

"""Who is told of what happens in the sessions of rooms: traces.

Rules: as those of `wire.observing`. Observers are told within the task of the session.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

__all__ = ["JoinedSession", "RoomObserver", "RoomObservers"]

log = logging.getLogger(__name__)


class JoinedSession(Protocol):
    """A session of a room, as an observer sees it."""

    room: str
    user: str
    session_id: str


class RoomObserver:
    """Does nothing; a subclass overrides what it wants to be told of."""

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        """A session is in its room; `recovered` is None when it did not ask to resume."""


class RoomObservers:
    """Several, as one."""

    def __init__(self, observers: Sequence[RoomObserver]) -> None:
        self._observers = tuple(observers)

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        for observer in self._observers:
            try:
                observer.session_joined(session, recovered)
            except BaseException:  # SystemExit would end the session
                log.exception("an observer failed")

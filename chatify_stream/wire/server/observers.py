"""Who is told of a server's connections and calls: metrics, traces, the access log.

Rules: an observer returns quickly, and never waits. One that raises is logged, and harms nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ...errors import Status
from ..connection.statistics import ConnectionStatistics
from .stream import ServerStream

__all__ = ["CallEnd", "Observers", "ServerObserver"]

log = logging.getLogger(__name__)

CallEnd = Callable[[Status | None, str | None], None]
"""Called when a call has ended: with the status that the client was sent and its text.

Without a status the call was reset.
"""


class ServerObserver:
    """Does nothing; a subclass overrides what it wants to be told of."""

    def connection_opened(self, address: str | None) -> None:
        """A connection was accepted, from an IP address."""

    def connection_refused(self, address: str | None) -> None:
        """There was no room for a connection."""

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        """A connection is gone; `reason` is why the server ended it, None when it did not."""

    def call_started(self, stream: ServerStream) -> CallEnd | None:
        """A call of a method that is served begins: within its task, before its handler.

        What is returned is called when it has ended, in the same task.
        """
        return None


class Observers:
    """Several, as one."""

    def __init__(self, observers: Sequence[ServerObserver] = ()) -> None:
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def connection_opened(self, address: str | None) -> None:
        for observer in self._observers:
            _tell(observer.connection_opened, address)

    def connection_refused(self, address: str | None) -> None:
        for observer in self._observers:
            _tell(observer.connection_refused, address)

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        for observer in self._observers:
            _tell(observer.connection_closed, statistics, reason)

    def call_started(self, stream: ServerStream) -> list[CallEnd]:
        """The ends to be called, the last observer's first."""
        ends = (_tell(observer.call_started, stream) for observer in self._observers)
        return [end for end in ends if end is not None][::-1]

    @staticmethod
    def call_ended(ends: Sequence[CallEnd], status: Status | None, message: str | None) -> None:
        for end in ends:
            _tell(end, status, message)


def _tell(function: Callable[..., CallEnd | None], *arguments: object) -> CallEnd | None:
    try:
        return function(*arguments)
    except BaseException:  # SystemExit would stop the event loop
        log.exception("an observer failed")
        return None

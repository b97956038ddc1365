"""Observers of a server's connections and calls: metrics, traces, the access log.

Rules: an observer returns quickly and never waits. An observer that raises is logged and has no
effect on the call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ...errors import Status
from ..connection.statistics import ConnectionStatistics
from .stream import ServerStream

log = logging.getLogger(__name__)

CallEnd = Callable[[Status | None, str | None], None]
"""Called at the end of a call with the status sent to the client and its message.

The status is None when the call was reset.
"""


class ServerObserver:
    """Base class with methods that do nothing."""

    def connection_opened(self, address: str | None) -> None:
        """A connection from an IP address was accepted."""

    def connection_refused(self, address: str | None) -> None:
        """A connection exceeded a limit."""

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        """A connection was closed. `reason`: why the server ended it, or None if it did not."""

    def call_started(self, stream: ServerStream) -> CallEnd | None:
        """A call of a known method begins. Called in the call's task, before its handler.

        The returned function is called at the end of the call, in the same task.
        """
        return None


class Observers:
    def __init__(self, observers: Sequence[ServerObserver] = ()) -> None:
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def connection_opened(self, address: str | None) -> None:
        for observer in self._observers:
            _notify(observer.connection_opened, address)

    def connection_refused(self, address: str | None) -> None:
        for observer in self._observers:
            _notify(observer.connection_refused, address)

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        for observer in self._observers:
            _notify(observer.connection_closed, statistics, reason)

    def call_started(self, stream: ServerStream) -> list[CallEnd]:
        """Return the functions to call at the end of the call, the last observer's first."""
        ends = (_notify(observer.call_started, stream) for observer in self._observers)
        return [end for end in ends if end is not None][::-1]

    @staticmethod
    def call_ended(ends: Sequence[CallEnd], status: Status | None, message: str | None) -> None:
        for end in ends:
            _notify(end, status, message)


def _notify(function: Callable[..., CallEnd | None], *arguments: object) -> CallEnd | None:
    try:
        return function(*arguments)
    except BaseException:  # SystemExit would stop the event loop
        log.exception("an observer failed")
        return None

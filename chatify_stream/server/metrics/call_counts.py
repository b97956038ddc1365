"""Count the calls of each method that is served.

Labels and statuses are named as in go-grpc-prometheus, so existing dashboards and alerts work.
Calls of unknown methods are not counted here, because clients could create any number of labels
with them.

`wire` counts the messages of each stream. They are added up when a call ends, and when the metrics
are collected.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from ...wire import CallEnd, Cardinality, MethodHandler, ServerObserver, ServerStream, Status
from .timings import Histogram

__all__ = ["CallCounts", "MethodCounts"]

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600, 86400)
"""From a reply within the same read to a stream that is open for a day."""

TYPES = {
    Cardinality.UNARY_UNARY: "unary",
    Cardinality.STREAM_UNARY: "client_stream",
    Cardinality.UNARY_STREAM: "server_stream",
    Cardinality.STREAM_STREAM: "bidi_stream",
}

CODES = {
    status: "OK" if status is Status.OK else status.name.title().replace("_", "")
    for status in Status
} | {Status.CANCELLED: "Canceled"}
"""Statuses as Go spells them."""


class MethodCounts:
    """Counts the calls of one method."""

    def __init__(self, path: str, cardinality: Cardinality) -> None:
        _, service, method = path.split("/")
        self.labels = (TYPES[cardinality], service, method)
        """Type, service and method."""
        self.started = 0
        self.handled: Counter[str] = Counter({CODES[Status.OK]: 0})
        """Calls that have ended, by status."""
        self.seconds = Histogram(SECONDS)
        self.open: set[ServerStream] = set()
        self._received = self._sent = 0  # by the calls that have ended

    @property
    def messages(self) -> tuple[int, int]:
        """The messages received and sent so far, also by open calls."""
        received, sent = self._received, self._sent
        for stream in self.open:
            stream_received, stream_sent = stream.messages
            received += stream_received
            sent += stream_sent
        return received, sent

    def call_started(self, stream: ServerStream) -> None:
        self.started += 1
        self.open.add(stream)

    def call_ended(self, stream: ServerStream, seconds: float, status: Status | None) -> None:
        self.open.discard(stream)
        self.handled[CODES[status or Status.CANCELLED]] += 1
        self.seconds.observe(seconds)
        received, sent = stream.messages
        self._received += received
        self._sent += sent


class CallCounts(ServerObserver):
    """Counts the calls of all methods that are served, on all ports."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._methods: dict[str, MethodCounts] = {}

    def __iter__(self) -> Iterator[MethodCounts]:
        return iter(self._methods.values())

    def add_methods(self, methods: Mapping[str, MethodHandler]) -> None:
        """Count the calls of these methods, given by their paths."""
        for path, method in methods.items():
            if path not in self._methods:
                self._methods[path] = MethodCounts(path, method.cardinality)

    def open_calls(self, paths: Iterable[str]) -> int:
        """Return the number of open calls of these methods."""
        return sum(len(self._methods[path].open) for path in paths)

    def call_started(self, stream: ServerStream) -> CallEnd:
        method = self._methods[stream.method]
        method.call_started(stream)
        return partial(self._call_ended, method, stream, self._clock())

    def _call_ended(
        self,
        method: MethodCounts,
        stream: ServerStream,
        started_at: float,
        status: Status | None,
        message: str | None,
    ) -> None:
        method.call_ended(stream, self._clock() - started_at, status)

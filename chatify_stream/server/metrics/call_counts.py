"""The calls of each method that is served, as other gRPC servers count theirs.

The names of labels and statuses are those of go-grpc-prometheus, for which dashboards and alerts
are to be had. What is asked for and not served leaves no trace here: no client makes labels.

Messages are counted by wire, a stream; here they are added up when a call ends and when somebody
looks.
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
"""From an answer within the same read to a stream that is open for a day."""

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
"""As Go spells them."""


class MethodCounts:
    """The calls of one method."""

    def __init__(self, path: str, cardinality: Cardinality) -> None:
        _, service, method = path.split("/")
        self.labels = (TYPES[cardinality], service, method)
        """Type, service and method."""
        self.started = 0
        self.handled: Counter[str] = Counter({CODES[Status.OK]: 0})
        """By the code."""
        self.seconds = Histogram(SECONDS)
        self.open: set[ServerStream] = set()
        self._received = self._sent = 0  # by the calls that have ended

    @property
    def messages(self) -> tuple[int, int]:
        """How many were received and sent, those of open calls included."""
        received, sent = self._received, self._sent
        for stream in self.open:
            came, went = stream.messages
            received += came
            sent += went
        return received, sent

    def began(self, stream: ServerStream) -> None:
        self.started += 1
        self.open.add(stream)

    def ended(self, stream: ServerStream, seconds: float, status: Status | None) -> None:
        self.open.discard(stream)
        self.handled[CODES[status or Status.CANCELLED]] += 1
        self.seconds.observe(seconds)
        came, went = stream.messages
        self._received += came
        self._sent += went


class CallCounts(ServerObserver):
    """All methods that are served, on all ports."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._methods: dict[str, MethodCounts] = {}

    def __iter__(self) -> Iterator[MethodCounts]:
        return iter(self._methods.values())

    def serve(self, methods: Mapping[str, MethodHandler]) -> None:
        """These methods are served, by their paths."""
        for path, method in methods.items():
            if path not in self._methods:
                self._methods[path] = MethodCounts(path, method.cardinality)

    def open(self, paths: Iterable[str]) -> int:
        """How many calls of these methods are open."""
        return sum(len(self._methods[path].open) for path in paths)

    def call_started(self, stream: ServerStream) -> CallEnd:
        method = self._methods[stream.method]
        method.began(stream)
        return partial(self._ended, method, stream, self._clock())

    def _ended(
        self,
        method: MethodCounts,
        stream: ServerStream,
        begun_at: float,
        status: Status | None,
        message: str | None,
    ) -> None:
        method.ended(stream, self._clock() - begun_at, status)

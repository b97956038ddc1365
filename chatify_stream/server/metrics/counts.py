"""Count and time the calls of each method that is served, and the calls of the broker.

Labels and statuses are named as in go-grpc-prometheus, so existing dashboards and alerts work.
Calls of unknown methods are not counted here, because clients could create any number of labels
with them.

`wire` counts the messages of each stream. They are added up when a call ends, and when the metrics
are collected.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TypeVar

from ...wire import CallEnd, Cardinality, MethodHandler, ServerObserver, ServerStream, Status
from ..instrumented_broker import CALLS

CALL_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600, 86400)
"""Seconds, from a reply within the same read to a stream that is open for a day."""

BROKER_BOUNDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds, from a broker in memory to a broker that is about to time out."""

LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds that the event loop is late."""

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

T = TypeVar("T")


class Histogram:
    """Counts values by the smallest bound that they do not exceed."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` must ascend. Values above the last bound are counted as well."""
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def cumulative(self) -> list[int]:
        """The number of values up to each bound, and then the number of all values."""
        return list(accumulate(self._counts))


class MethodCounts:
    """Counts the calls of one method."""

    def __init__(self, path: str, cardinality: Cardinality) -> None:
        _, service, method = path.split("/")
        self.labels = (TYPES[cardinality], service, method)
        """Type, service and method."""
        self.started = 0
        self.handled: Counter[str] = Counter({CODES[Status.OK]: 0})
        """Calls that have ended, by status."""
        self.seconds = Histogram(CALL_BOUNDS)
        self.open: set[ServerStream] = set()
        self._received = self._sent = 0  # by the calls that have ended

    @property
    def messages(self) -> tuple[int, int]:
        """The messages received and sent so far, also by open calls."""
        counts = [(self._received, self._sent), *(stream.messages for stream in self.open)]
        return sum(received for received, _ in counts), sum(sent for _, sent in counts)

    def call_started(self, stream: ServerStream) -> CallEnd:
        self.started += 1
        self.open.add(stream)
        return partial(self._call_ended, stream, time.monotonic())

    def _call_ended(
        self, stream: ServerStream, started_at: float, status: Status | None, message: str | None
    ) -> None:
        self.open.discard(stream)
        self.handled[CODES[status or Status.CANCELLED]] += 1
        self.seconds.observe(time.monotonic() - started_at)
        received, sent = stream.messages
        self._received += received
        self._sent += sent


class CallCounts(ServerObserver):
    """Counts the calls of all methods that are served, on all ports."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodCounts] = {}

    def __iter__(self) -> Iterator[MethodCounts]:
        return iter(self._methods.values())

    def add_methods(self, methods: Mapping[str, MethodHandler]) -> None:
        for path, method in methods.items():
            if path not in self._methods:
                self._methods[path] = MethodCounts(path, method.cardinality)

    def open_calls(self, paths: Iterable[str]) -> int:
        return sum(len(self._methods[path].open) for path in paths)

    def call_started(self, stream: ServerStream) -> CallEnd:
        return self._methods[stream.method].call_started(stream)


class BrokerTimes:
    """Measures the calls of a broker. It outlives the broker when the server is started again."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` returns seconds and never goes back."""
        self._clock = clock
        self.seconds = {call: Histogram(BROKER_BOUNDS) for call in CALLS}
        self.errors = Counter(dict.fromkeys(CALLS, 0))

    async def measure(self, call: str, room: str, calling: Awaitable[T]) -> T:
        """Await the call and return its result; an `Instrument`.

        A call that is cancelled is timed, but is not counted as an error.
        """
        started_at = self._clock()
        try:
            return await calling
        except Exception:
            self.errors[call] += 1
            raise
        finally:
            self.seconds[call].observe(self._clock() - started_at)

"""Histograms of times: of the calls of the broker, and of the lag of the event loop."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from ..instrumented_broker import CALLS

__all__ = ["BROKER_BOUNDS", "LAG_BOUNDS", "BrokerTimes", "Histogram"]

BROKER_BOUNDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds, from a broker in memory to a broker that is about to time out."""

LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds that the event loop is late."""

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
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """The number of all values."""
        return sum(self._counts)

    @property
    def cumulative(self) -> list[int]:
        """The number of values up to each bound, and then the number of all values."""
        return list(accumulate(self._counts))


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

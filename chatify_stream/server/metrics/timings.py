"""How often something took how long."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from ..instrumented_broker import CALLS

__all__ = ["BrokerTimes", "Histogram", "LoopLag"]

BROKER_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""From a broker in memory to one that is about to give up."""

T = TypeVar("T")


class BrokerTimes:
    """What the calls of one broker after the other took."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds = {call: Histogram(BROKER_SECONDS) for call in CALLS}
        self.errors = Counter(dict.fromkeys(CALLS, 0))

    async def watch(self, call: str, room: str, calling: Awaitable[T]) -> T:
        """What the call returns. One that is cancelled has taken its time, and has not failed."""
        begun_at = self._clock()
        try:
            return await calling
        except Exception:
            self.errors[call] += 1
            raise
        finally:
            self.seconds[call].observe(self._clock() - begun_at)


INTERVAL = 1.0

LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LoopLag:
    """Asks to be called once a second, and notes how late that was."""

    def __init__(self) -> None:
        self.seconds = Histogram(LAG_SECONDS)
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due_at = time.monotonic() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def stop(self) -> None:
        """May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def stalled(self) -> float:
        """For how many seconds it has kept its next call waiting. Any thread may ask."""
        return 0.0 if self._timer is None else max(0.0, time.monotonic() - self._due_at)

    def _tick(self) -> None:
        self.seconds.observe(self.stalled)
        self.start()


class Histogram:
    """Counts values by the least bound that they do not exceed."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` grow; what is larger than the last is counted, too."""
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        """Of all values."""

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self._counts)

    @property
    def cumulative(self) -> list[int]:
        """How many values are at most as large as each bound, and at last all of them."""
        return list(accumulate(self._counts))

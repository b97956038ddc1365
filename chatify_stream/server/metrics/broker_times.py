"""How long the calls of a broker take, and how many fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..watched_broker import CALLS
from .histogram import Histogram

__all__ = ["BrokerTimes"]

SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""From a broker in memory to one that is about to give up."""

T = TypeVar("T")


class BrokerTimes:
    """What the calls of one broker after the other took."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds = {call: Histogram(SECONDS) for call in CALLS}
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

"""How often something took how long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["Histogram"]


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

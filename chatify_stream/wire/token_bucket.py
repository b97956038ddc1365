"""Token buckets: how much of something may be done, at once and from then on. No I/O, no clock.

Rules: in any stretch of time no more is taken than the burst and what is gained in it. Times are
seconds by a monotonic clock, and never go back.
"""

from __future__ import annotations

from .limits import Rate

__all__ = ["TokenBucket", "TokenBuckets"]

MAX_BUCKETS = 10_000
"""Of a table, some 2 MB."""


class TokenBucket:
    """Holds `rate.burst` tokens at first and at the most, and gains `rate.per_second`."""

    __slots__ = ("_rate", "_tokens", "_updated")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Takes a token; False when there is none."""
        if self.available(now) < 1:
            return False
        self._tokens -= 1
        return True

    def available(self, now: float) -> float:
        """How many tokens there are."""
        gained = (now - self._updated) * self._rate.per_second
        self._updated = now
        self._tokens = min(self._tokens + gained, float(self._rate.burst))
        return self._tokens

    def spend(self, number: int) -> None:
        """Takes tokens, of those that are there, as `available` has just said, or on credit."""
        self._tokens -= number

    def wait(self, now: float, number: float) -> float:
        """Seconds until there are so many tokens, if none is taken meanwhile."""
        return max(0.0, number - self.available(now)) / self._rate.per_second

    def is_full(self, now: float) -> bool:
        """It is as a new one would be."""
        return self.available(now) >= self._rate.burst

    def change(self, rate: Rate, now: float) -> None:
        """Has another rate from now on. What was taken stays taken, as far as it fits."""
        taken = self._rate.burst - self.available(now)
        self._rate = rate
        self._tokens = max(0.0, rate.burst - taken)


class TokenBuckets:
    """A bucket for each key, such as an address.

    One that is full again is forgotten, since a new one would be the same. When there are `most`,
    the one that was used longest ago makes room: its key has a whole burst again.
    """

    def __init__(self, rate: Rate, most: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._most = most
        self._buckets: dict[str, TokenBucket] = {}  # the one that was used last stands last

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> bool:
        """Takes a token of a key; False when it has none."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._rate, now)
        self._forget(now)
        self._buckets[key] = bucket
        return bucket.take(now)

    def _forget(self, now: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) < self._most and not self._buckets[oldest].is_full(now):
                return
            del self._buckets[oldest]

"""Token buckets, which limit the rate of events. No I/O, no clock.

In any period of time, at most the burst plus the tokens gained in that period are taken. Times are
in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..limits import Rate

MAX_BUCKETS = 10_000
"""Default size of a table; about 2 MB."""


class TokenBucket:
    """A bucket that starts full with `rate.burst` tokens and gains `rate.per_second` a second."""

    __slots__ = ("_rate", "_tokens", "_updated")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Take a token. Return False if there is none."""
        if self.available(now) < 1:
            return False
        self._tokens -= 1
        return True

    def available(self, now: float) -> float:
        gained = (now - self._updated) * self._rate.per_second
        self._updated = now
        self._tokens = min(self._tokens + gained, float(self._rate.burst))
        return self._tokens

    def spend(self, number: int) -> None:
        """Take tokens, at the time of the last `available`. The balance may become negative."""
        self._tokens -= number

    def wait(self, now: float, number: float) -> float:
        """Return the seconds until `number` tokens are available, if none is taken before."""
        return max(0.0, number - self.available(now)) / self._rate.per_second

    def is_full(self, now: float) -> bool:
        """Return True if the bucket is in the state of a new bucket."""
        return self.available(now) >= self._rate.burst

    def change(self, rate: Rate, now: float) -> None:
        """Apply another rate. Tokens already taken stay taken, up to the new burst."""
        taken = self._rate.burst - self.available(now)
        self._rate = rate
        self._tokens = max(0.0, rate.burst - taken)


@dataclass(eq=False, repr=False)
class TokenBuckets:
    """One bucket for each key, such as an address.

    A full bucket is dropped, since a new one would be equal. When there are `max_buckets`, the one
    that was used longest ago is dropped, which gives its key a full burst again.
    """

    _rate: Rate
    max_buckets: int = MAX_BUCKETS
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)  # ordered by last use

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> bool:
        """Take a token of a key. Return False if there is none."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._rate, now)
        self._drop(now)
        self._buckets[key] = bucket
        return bucket.take(now)

    def _drop(self, now: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) < self.max_buckets and not self._buckets[oldest].is_full(now):
                return
            del self._buckets[oldest]

"""What one user, or one address, has used of late. No I/O, no clock.

Rules: an account is there as long as a session of it is open, and then until all its buckets are
full again: a new one would be the same. Of those without a session at most `MOST_IDLE` are kept;
past that the one that is idle for longest is forgotten, and its owner has a whole burst again.
"""

from __future__ import annotations

from collections import Counter

from ...wire import Rate, TokenBucket
from .limits import UsageLimits

__all__ = ["Account", "Accounts"]

MOST_IDLE = 10_000


class Account:
    """Its buckets are there when they are first needed."""

    __slots__ = ("_limits", "buckets", "kind", "rooms", "sessions")

    def __init__(self, kind: str, limits: UsageLimits) -> None:
        """`kind`: `user`, `address`, or `session` for what belongs to one session alone."""
        self.kind = kind
        self._limits = limits
        self.sessions = 0
        self.rooms: Counter[str] = Counter()
        """How many of its sessions are in each room."""
        self.buckets: dict[str, TokenBucket] = {}

    def rate(self, of: str, limits: UsageLimits) -> Rate | None:
        """The limit of messages, bytes or joins."""
        rate: Rate | None = getattr(limits, f"{of}_per_{self.kind}", None)
        return rate

    def bucket(self, of: str, rate: Rate, limits: UsageLimits, now: float) -> TokenBucket:
        """The bucket, by the limits as they are now."""
        if limits is not self._limits:
            self._change(limits, now)
        bucket = self.buckets.get(of)
        if bucket is None:
            bucket = self.buckets[of] = TokenBucket(rate, now)
        return bucket

    def is_full(self, now: float) -> bool:
        """All that it may use is there."""
        return all(bucket.is_full(now) for bucket in self.buckets.values())

    def _change(self, limits: UsageLimits, now: float) -> None:
        self._limits = limits
        for of, bucket in list(self.buckets.items()):
            rate = self.rate(of, limits)
            if rate is None:
                del self.buckets[of]
            else:
                bucket.change(rate, now)


class Accounts:
    """Those of all users, or of all addresses."""

    def __init__(self, kind: str, most_idle: int = MOST_IDLE) -> None:
        self._kind = kind
        self._most_idle = most_idle
        self._open: dict[str, Account] = {}
        self._idle: dict[str, Account] = {}  # the one that is idle for longest stands first

    def __len__(self) -> int:
        return len(self._open) + len(self._idle)

    def open(self, key: str, limits: UsageLimits) -> Account:
        """The account of who has opened a session, or is about to; `close` is to follow."""
        account = self._open.get(key)
        if account is None:
            account = self._idle.pop(key, None) or Account(self._kind, limits)
            self._open[key] = account
        account.sessions += 1
        return account

    def close(self, key: str, now: float) -> None:
        """One of its sessions has ended."""
        account = self._open[key]
        account.sessions -= 1
        if not account.sessions:
            del self._open[key]
            if not account.is_full(now):
                self._idle[key] = account
            self.forget(now)

    def forget(self, now: float) -> None:
        """Drops those that are as new ones would be."""
        while self._idle:
            oldest = next(iter(self._idle))
            if len(self._idle) <= self._most_idle and not self._idle[oldest].is_full(now):
                return
            del self._idle[oldest]

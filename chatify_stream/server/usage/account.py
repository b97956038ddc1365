"""The recent usage of each user and each address. No I/O, no clock.

Rules: an account is kept while it has an open session, and then until all its buckets are full,
when a new account would be equal. At most `MAX_IDLE` accounts without a session are kept. Above
that, the account that has been idle for longest is dropped, which gives its owner a full burst.
"""

from __future__ import annotations

from collections import Counter

from ...limits import UsageLimits
from ...wire import Rate, TokenBucket

MAX_IDLE = 10_000


class Account:
    """Counts the sessions and rooms of one owner, and has a token bucket for each rate."""

    __slots__ = ("_limits", "buckets", "kind", "rooms", "sessions")

    def __init__(self, kind: str, limits: UsageLimits) -> None:
        """`kind` is `user`, `address` or `session`."""
        self.kind = kind
        self._limits = limits
        self.sessions = 0
        self.rooms: Counter[str] = Counter()
        """Number of its sessions in each room."""
        self.buckets: dict[str, TokenBucket] = {}

    def rate(self, of: str, limits: UsageLimits) -> Rate | None:
        """Return the rate limit of `of`: `messages`, `bytes` or `joins`."""
        rate: Rate | None = getattr(limits, f"{of}_per_{self.kind}", None)
        return rate

    def bucket(self, of: str, rate: Rate, limits: UsageLimits, now: float) -> TokenBucket:
        """Return the bucket of `of`, with the limits as they are now."""
        if limits is not self._limits:
            self._limits = limits
            for each, old in list(self.buckets.items()):
                if (changed := self.rate(each, limits)) is None:
                    del self.buckets[each]
                else:
                    old.change(changed, now)
        bucket = self.buckets.get(of)
        if bucket is None:
            bucket = self.buckets[of] = TokenBucket(rate, now)
        return bucket

    def is_full(self, now: float) -> bool:
        """Return True if all buckets are full."""
        return all(bucket.is_full(now) for bucket in self.buckets.values())


class Accounts:
    """The accounts of all users, or of all addresses."""

    def __init__(self, kind: str, max_idle: int = MAX_IDLE) -> None:
        self._kind = kind
        self._max_idle = max_idle
        self._open: dict[str, Account] = {}
        self._idle: dict[str, Account] = {}  # ordered by the time since which they are idle

    def __len__(self) -> int:
        return len(self._open) + len(self._idle)

    def open(self, key: str, limits: UsageLimits) -> Account:
        """Return the account of a new session. The caller must `close` it."""
        account = self._open.get(key)
        if account is None:
            account = self._idle.pop(key, None) or Account(self._kind, limits)
            self._open[key] = account
        account.sessions += 1
        return account

    def close(self, key: str, now: float) -> None:
        """Note that a session of the account has ended."""
        account = self._open[key]
        account.sessions -= 1
        if not account.sessions:
            del self._open[key]
            if not account.is_full(now):
                self._idle[key] = account
            self.forget(now)

    def forget(self, now: float) -> None:
        """Drop idle accounts that are full, and those above the maximum."""
        while self._idle:
            oldest = next(iter(self._idle))
            if len(self._idle) <= self._max_idle and not self._idle[oldest].is_full(now):
                return
            del self._idle[oldest]

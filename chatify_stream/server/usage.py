"""The usage of one server by its users and addresses: sessions are admitted or rejected. No I/O.

Rules: a rejected session uses up nothing. The limits may be replaced at any time, and counts and
buckets continue with the new limits. Sessions that began when there was no limit of a kind are not
counted for it later. A message takes tokens from all buckets or from none. After one rejected
message all later messages are rejected, so that a sender's messages have no gap.

An account is kept while it has an open session, and then until all its buckets are full, when a new
account would be equal. At most `MAX_IDLE` accounts without a session are kept. Above that, the
account that has been idle for longest is dropped, which gives its owner a full burst.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import Status, StatusError
from ..limits import Rate, UsageLimits
from ..wire import Meter, TokenBucket, address_block

MAX_IDLE = 10_000

COUNT_RETRY = 5.0
"""Seconds until a retry after too many sessions or rooms: when one of them ends is unknown."""

MAX_REFILL_TIME = 60.0
"""Seconds. A rejected client is asked to wait for a full bucket, but not longer than this."""

_WORDS = {
    "messages": "messages of {}",
    "bytes": "bytes of messages of {}",
    "joins": "rooms that {} joins",
    "rooms": "rooms that {} is in",
    "sessions": "open sessions of {}",
}


def _words(limit: str) -> str:
    counted, _, kind = limit.partition("_per_")
    return _WORDS[counted].format("an address" if kind == "address" else f"a {kind}")


def over_rate(limit: str, rate: Rate, wait: float) -> StatusError:
    """Return the error for a rate limit that allows the request again in `wait` seconds."""
    return _rejection(f"too many {_words(limit)}: the limit is {rate}", wait)


def over_count(limit: str, maximum: int) -> StatusError:
    """Return the error for too many sessions or rooms at the same time."""
    return _rejection(f"too many {_words(limit)}: at most {maximum} at a time", COUNT_RETRY)


def too_large(limit: str, rate: Rate, size: int) -> StatusError:
    """Return the error for a message that is larger than the burst of its limit."""
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"the message has {size} bytes; at most {rate.burst} are allowed at once "
        f"({_words(limit)}: the limit is {rate})",
    )


def _rejection(problem: str, wait: float) -> StatusError:
    milliseconds = max(1, math.ceil(wait * 1000))
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"{problem}; try again in {milliseconds / 1000:g} s",
        metadata={"retry-after-ms": str(milliseconds)},
    )


@dataclass(frozen=True)
class UsageStatistics:
    """Statistics of the usage limits. Counters start at 0 with the server."""

    refused: Mapping[str, int]
    """Sessions and joins rejected, and sessions ended for their messages, by name of the limit."""

    accounts: int
    """Users and addresses whose usage is stored."""


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
        if of not in self.buckets:
            self.buckets[of] = TokenBucket(rate, now)
        return self.buckets[of]

    def is_full(self, now: float) -> bool:
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


class Usage:
    """Counts sessions, rooms, joins and messages, and applies the limits to them."""

    def __init__(self, limits: UsageLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds and never goes back."""
        self.limits = limits
        """The limits. They may be replaced."""
        self.clock = clock
        self.refused: Counter[str] = Counter()
        """Rejections, by the name of the limit."""
        self._users = Accounts("user")
        self._addresses = Accounts("address")

    def statistics(self) -> UsageStatistics:
        now = self.clock()
        for accounts in (self._users, self._addresses):
            accounts.forget(now)
        return UsageStatistics(dict(self.refused), len(self._users) + len(self._addresses))

    def enter(self, user: str | None, address: str, room: str | None, *, joins: bool) -> Visit:
        """Admit a session, or raise `StatusError`. The session must `leave` when it ends.

        `user` is None for an unauthenticated caller, `address` empty for a Unix socket. `joins` is
        True for a room session, whose `room` is None if its name cannot be read.
        """
        limits, now = self.limits, self.clock()
        keys: list[tuple[Accounts, str]] = []
        if user is not None and limits.has_any("user"):
            keys.append((self._users, user))
        if address and limits.has_any("address"):
            keys.append((self._addresses, address_block(address)))
        accounts = [each.open(key, limits) for each, key in keys]
        try:
            for account in accounts:
                self._check_counts(account, room, limits)
            if joins:
                self._take_joins(accounts, limits, now)
        except StatusError:
            for each, key in keys:
                each.close(key, now)
            raise
        if room is not None:
            for account in accounts:
                account.rooms[room] += 1
        owners = [Account("session", limits), *accounts]
        rates = (owner.rate(of, limits) for owner in owners for of in ("messages", "bytes"))
        meter = SessionMeter(owners, self) if any(rates) else None
        return Visit(keys, accounts, room, meter, self.clock)

    def _check_counts(self, account: Account, room: str | None, limits: UsageLimits) -> None:
        is_new = room is not None and room not in account.rooms
        joined = len(account.rooms) + 1 if is_new else 0
        for of, count in (("sessions", account.sessions), ("rooms", joined)):
            name = f"{of}_per_{account.kind}"
            if (maximum := getattr(limits, name)) is not None and count > maximum:
                self.refused[name] += 1
                raise over_count(name, maximum)

    def _take_joins(self, accounts: list[Account], limits: UsageLimits, now: float) -> None:
        taken = []
        for account in accounts:
            if (rate := account.rate("joins", limits)) is not None:
                bucket = account.bucket("joins", rate, limits, now)
                if bucket.available(now) < 1:
                    name = f"joins_per_{account.kind}"
                    self.refused[name] += 1
                    raise over_rate(name, rate, bucket.wait(now, 1))
                taken.append(bucket)
        for bucket in taken:
            bucket.spend(1)


@dataclass
class Visit:
    """A session that was admitted."""

    _keys: list[tuple[Accounts, str]]
    _accounts: list[Account]
    _room: str | None
    meter: Meter | None
    """Counts the messages of the session; None if they are not limited."""
    _clock: Callable[[], float]

    @property
    def counts(self) -> bool:
        """True if the session has a meter, or has to `leave`."""
        return bool(self._keys) or self.meter is not None

    def leave(self) -> None:
        """Note the end of the session. Must be called once."""
        now = self._clock()
        if self._room is not None:
            for account in self._accounts:
                account.rooms[self._room] -= 1
                if not account.rooms[self._room]:
                    del account.rooms[self._room]
        for accounts, key in self._keys:
            accounts.close(key, now)


class _Count(NamedTuple):
    limit: str
    rate: Rate
    bucket: TokenBucket
    of_bytes: bool


class SessionMeter:
    """Called with received messages, it removes those that exceed a limit."""

    def __init__(self, accounts: Sequence[Account], usage: Usage) -> None:
        """`accounts` are those of the session, its user and its address."""
        self._accounts = accounts
        self._usage = usage
        self._known: UsageLimits | None = None
        self._counts: list[_Count] = []
        self._refusal: StatusError | None = None

    def __call__(self, messages: list[bytes]) -> StatusError | None:
        """Remove the messages above the limits from the list, and return the error for them."""
        if self._refusal is not None:
            messages.clear()
            return self._refusal
        now, limits = self._usage.clock(), self._usage.limits
        if limits is not self._known:
            self._known, self._counts = limits, self._counts_of(limits, now)
        number, size = len(messages), sum(map(len, messages))
        for count in self._counts:
            if count.bucket.available(now) < (size if count.of_bytes else number):
                return self._cut(messages, now)
        for count in self._counts:
            count.bucket.spend(size if count.of_bytes else number)
        return None

    def _counts_of(self, limits: UsageLimits, now: float) -> list[_Count]:
        return [
            _Count(
                f"{of}_per_{account.kind}", rate, account.bucket(of, rate, limits, now), of_bytes
            )
            for account in self._accounts
            for of, of_bytes in (("messages", False), ("bytes", True))
            if (rate := account.rate(of, limits)) is not None
        ]

    def _cut(self, messages: list[bytes], now: float) -> StatusError | None:
        """Count the first messages that are within the limits, and reject the others."""
        for kept, message in enumerate(messages):
            size = len(message)
            for count in self._counts:
                if count.bucket.available(now) < (size if count.of_bytes else 1):
                    self._refusal = _over_limit(count, size, now)
                    self._usage.refused[count.limit] += 1
                    del messages[kept:]
                    return self._refusal
            for count in self._counts:
                count.bucket.spend(size if count.of_bytes else 1)
        return None


def _over_limit(count: _Count, size: int, now: float) -> StatusError:
    rate, number = count.rate, size if count.of_bytes else 1
    if number > rate.burst:
        return too_large(count.limit, rate, number)
    filled = min(count.bucket.wait(now, rate.burst), MAX_REFILL_TIME)
    return over_rate(count.limit, rate, max(count.bucket.wait(now, number), filled))

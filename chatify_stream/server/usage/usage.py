"""The usage of one server by its users and addresses: sessions are admitted or rejected. No I/O.

Rules: a rejected session uses up nothing. The limits may be replaced at any time, and counts and
buckets continue with the new limits. Sessions that began when there was no limit of a kind are not
counted for it later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...errors import StatusError
from ...wire import Meter, address_block
from .account import Account, Accounts
from .limits import NO_LIMITS, UsageLimits
from .meter import SessionMeter, over_count, over_rate

__all__ = ["NO_LIMITS", "Usage", "UsageStatistics", "Visit"]


@dataclass(frozen=True)
class UsageStatistics:
    """Statistics of the usage limits. Counters start at 0 with the server."""

    refused: Mapping[str, int]
    """Sessions and joins rejected, and sessions ended for their messages, by name of the limit."""

    accounts: int
    """Users and addresses whose usage is stored."""


class Usage:
    """Counts sessions, rooms, joins and messages, and applies the limits to them."""

    def __init__(self, limits: UsageLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds and never goes back."""
        self.limits = limits
        """The limits. They may be replaced."""
        self._clock = clock
        self._users = Accounts("user")
        self._addresses = Accounts("address")
        self._refused: Counter[str] = Counter()

    def statistics(self) -> UsageStatistics:
        """Return the statistics."""
        now = self.now()
        for accounts in (self._users, self._addresses):
            accounts.forget(now)
        return UsageStatistics(dict(self._refused), len(self._users) + len(self._addresses))

    def now(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock()

    def count_refusal(self, limit: str) -> None:
        self._refused[limit] += 1

    def enter(self, user: str | None, address: str, room: str | None, *, joins: bool) -> Visit:
        """Admit a session, or raise `StatusError`. The session must `leave` when it ends.

        `user` is None for an unauthenticated caller, `address` empty for a Unix socket. `joins` is
        True for a room session, whose `room` is None if its name cannot be read.
        """
        limits, now = self.limits, self.now()
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
        return Visit(keys, accounts, room, self._meter(accounts, limits), self._clock)

    def _check_counts(self, account: Account, room: str | None, limits: UsageLimits) -> None:
        name = f"sessions_per_{account.kind}"
        maximum = getattr(limits, name)
        if maximum is not None and account.sessions > maximum:
            self.count_refusal(name)
            raise over_count(name, maximum)
        name = f"rooms_per_{account.kind}"
        maximum = getattr(limits, name)
        is_new = room is not None and room not in account.rooms
        if is_new and maximum is not None and len(account.rooms) >= maximum:
            self.count_refusal(name)
            raise over_count(name, maximum)

    def _take_joins(self, accounts: list[Account], limits: UsageLimits, now: float) -> None:
        taken = []
        for account in accounts:
            if (rate := account.rate("joins", limits)) is not None:
                bucket = account.bucket("joins", rate, limits, now)
                if bucket.available(now) < 1:
                    name = f"joins_per_{account.kind}"
                    self.count_refusal(name)
                    raise over_rate(name, rate, bucket.wait(now, 1))
                taken.append(bucket)
        for bucket in taken:
            bucket.spend(1)

    def _meter(self, accounts: list[Account], limits: UsageLimits) -> Meter | None:
        own = Account("session", limits)
        owners = [own, *accounts]
        rates = (owner.rate(of, limits) for owner in owners for of in ("messages", "bytes"))
        if not any(rates):
            return None
        return SessionMeter(owners, self)


class Visit:
    """A session that was admitted."""

    def __init__(
        self,
        keys: list[tuple[Accounts, str]],
        accounts: list[Account],
        room: str | None,
        meter: Meter | None,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._room = room
        self._clock = clock
        self.meter = meter
        """Counts the messages of the session; None if they are not limited."""

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

"""Who uses how much of one server: sessions come, and are let in or refused. No I/O.

Rules: a session that is refused has taken nothing. The limits may be replaced at any time: counts
and buckets go on with the new ones. What was not counted while there was no limit of its kind is
not counted afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from ...errors import StatusError
from ...wire import Meter, address_block
from .account import Account, Accounts
from .limits import UsageLimits
from .meter import SessionMeter, over_count, over_rate

__all__ = ["NO_LIMITS", "Usage", "UsageStatistics", "Visit"]

_NAMES = {
    kind: [field.name for field in fields(UsageLimits) if field.name.endswith(kind)]
    for kind in ("user", "address")
}

NO_LIMITS = UsageLimits(**{field.name: None for field in fields(UsageLimits)})


@dataclass(frozen=True)
class UsageStatistics:
    """What the limits of use have done so far. Counters only grow."""

    refused: Mapping[str, int]
    """How many sessions and joins were refused, and how many sessions were ended for what they
    sent: by the name of the limit, as in `UsageLimits`."""

    accounts: int
    """Users and addresses of whom something is remembered."""


class Usage:
    """What everybody uses."""

    def __init__(self, limits: UsageLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, and never goes back."""
        self.limits = limits
        """May be replaced."""
        self._clock = clock
        self._users = Accounts("user")
        self._addresses = Accounts("address")
        self._refused: Counter[str] = Counter()

    def statistics(self) -> UsageStatistics:
        """What was refused so far, and how many are remembered."""
        now = self._clock()
        for accounts in (self._users, self._addresses):
            accounts.forget(now)
        return UsageStatistics(dict(self._refused), len(self._users) + len(self._addresses))

    def enter(self, user: str | None, address: str, room: str | None, *, joins: bool) -> Visit:
        """Lets a session in. Raises `StatusError`.

        `user` None for one who is not known, `address` empty for a Unix socket. `joins`: it is one
        of a room, whose name is None where it cannot be read.
        """
        limits, now = self.limits, self._clock()
        keys: list[tuple[Accounts, str]] = []
        if user is not None and _has_limits(limits, "user"):
            keys.append((self._users, user))
        if address and _has_limits(limits, "address"):
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
        most = getattr(limits, name)
        if most is not None and account.sessions > most:
            self._count(name)
            raise over_count(name, most)
        name = f"rooms_per_{account.kind}"
        most = getattr(limits, name)
        is_new = room is not None and room not in account.rooms
        if is_new and most is not None and len(account.rooms) >= most:
            self._count(name)
            raise over_count(name, most)

    def _take_joins(self, accounts: list[Account], limits: UsageLimits, now: float) -> None:
        taken = []
        for account in accounts:
            if (rate := account.rate("joins", limits)) is not None:
                bucket = account.bucket("joins", rate, limits, now)
                if bucket.available(now) < 1:
                    name = f"joins_per_{account.kind}"
                    self._count(name)
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
        return SessionMeter(owners, lambda: self.limits, self._clock, self._count)

    def _count(self, limit: str) -> None:
        self._refused[limit] += 1


class Visit:
    """A session that was let in."""

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
        """Counts its messages; None where nobody wants to know."""

    @property
    def counts(self) -> bool:
        """Somebody wants to know of its messages, or that it leaves."""
        return bool(self._keys) or self.meter is not None

    def leave(self) -> None:
        """It has ended. To be called once."""
        now = self._clock()
        if self._room is not None:
            for account in self._accounts:
                account.rooms[self._room] -= 1
                if not account.rooms[self._room]:
                    del account.rooms[self._room]
        for accounts, key in self._keys:
            accounts.close(key, now)


def _has_limits(limits: UsageLimits, kind: str) -> bool:
    return any(getattr(limits, name) is not None for name in _NAMES[kind])

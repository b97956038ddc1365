"""Counts the messages of one session. No I/O.

Rules: a message is taken from all buckets or from none. Once one is refused, so is everything after
it: the order of a sender has no holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...errors import Status, StatusError
from ...wire import Rate, TokenBucket
from .account import Account
from .limits import UsageLimits

__all__ = ["SessionMeter", "over_count", "over_rate", "too_large"]

COUNT_RETRY = 5.0
"""Seconds. Nobody knows when a session or a room is given up; and lost ones are soon found."""

_WORDS = {
    "messages_per_session": "messages of a session",
    "messages_per_user": "messages of a user",
    "messages_per_address": "messages of an address",
    "bytes_per_session": "bytes of messages of a session",
    "bytes_per_user": "bytes of messages of a user",
    "bytes_per_address": "bytes of messages of an address",
    "joins_per_user": "rooms that a user joins",
    "joins_per_address": "rooms that an address joins",
    "rooms_per_user": "rooms that a user is in",
    "rooms_per_address": "rooms that an address is in",
    "sessions_per_user": "open sessions of a user",
    "sessions_per_address": "open sessions of an address",
}


def over_rate(limit: str, rate: Rate, wait: float) -> StatusError:
    """More than the rate allows; in `wait` seconds it is allowed again."""
    return _refusal(f"too many {_WORDS[limit]}: the limit is {rate}", wait)


def over_count(limit: str, most: int) -> StatusError:
    """More at a time than allowed."""
    return _refusal(f"too many {_WORDS[limit]}: at most {most} at a time", COUNT_RETRY)


def too_large(limit: str, rate: Rate, size: int) -> StatusError:
    """A message that no waiting makes small enough."""
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"the message has {size} bytes; at most {rate.burst} are allowed at once "
        f"({_WORDS[limit]}: the limit is {rate})",
    )


def _refusal(what: str, wait: float) -> StatusError:
    milliseconds = max(1, math.ceil(wait * 1000))
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"{what}; try again in {milliseconds / 1000:g} s",
        metadata={"retry-after-ms": str(milliseconds)},
    )


LONGEST_REFILL = 60.0
"""Seconds. Whoever is refused comes back to a full bucket, or after this time."""


class _Count(NamedTuple):
    limit: str
    rate: Rate
    bucket: TokenBucket
    of_bytes: bool


class SessionMeter:
    """Called with the messages that have come, it takes those away that are over a limit."""

    def __init__(
        self,
        accounts: Sequence[Account],
        limits: Callable[[], UsageLimits],
        clock: Callable[[], float],
        refused: Callable[[str], None],
    ) -> None:
        """`accounts`: what the messages are taken from. `refused` is told the name of the limit."""
        self._accounts = accounts
        self._limits = limits
        self._clock = clock
        self._refused = refused
        self._known: UsageLimits | None = None
        self._counts: list[_Count] = []
        self._refusal: StatusError | None = None

    def __call__(self, messages: list[bytes]) -> StatusError | None:
        """Leaves those in the list that are within the limits; why the others are not."""
        if self._refusal is not None:
            messages.clear()
            return self._refusal
        now = self._clock()
        limits = self._limits()
        if limits is not self._known:
            self._known, self._counts = limits, list(self._counts_of(limits, now))
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
        """Takes the first ones that fit, and refuses the others."""
        for kept, message in enumerate(messages):
            size = len(message)
            short = next((each for each in self._counts if not _fits(each, size, now)), None)
            if short is not None:
                self._refusal = _over_limit(short, size, now)
                self._refused(short.limit)
                del messages[kept:]
                break
            for count in self._counts:
                count.bucket.spend(size if count.of_bytes else 1)
        return self._refusal


def _fits(count: _Count, size: int, now: float) -> bool:
    return count.bucket.available(now) >= (size if count.of_bytes else 1)


def _over_limit(count: _Count, size: int, now: float) -> StatusError:
    rate, number = count.rate, size if count.of_bytes else 1
    if number > rate.burst:
        return too_large(count.limit, rate, number)
    filled = min(count.bucket.wait(now, rate.burst), LONGEST_REFILL)
    return over_rate(count.limit, rate, max(count.bucket.wait(now, number), filled))

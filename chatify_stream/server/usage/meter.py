"""Counts the messages of one session. No I/O.

Rules: a message takes tokens from all buckets or from none. After one rejected message all later
messages are rejected, so that a sender's messages have no gap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ...errors import Status, StatusError
from ...wire import Rate, TokenBucket
from .account import Account
from .limits import UsageLimits

__all__ = ["SessionMeter", "UsageOwner", "over_count", "over_rate", "too_large"]

COUNT_RETRY = 5.0
"""Seconds until a retry after too many sessions or rooms: when one of them ends is unknown."""

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
    """Return the error for a rate limit that allows the request again in `wait` seconds."""
    return _rejection(f"too many {_WORDS[limit]}: the limit is {rate}", wait)


def over_count(limit: str, maximum: int) -> StatusError:
    """Return the error for too many sessions or rooms at the same time."""
    return _rejection(f"too many {_WORDS[limit]}: at most {maximum} at a time", COUNT_RETRY)


def too_large(limit: str, rate: Rate, size: int) -> StatusError:
    """Return the error for a message that is larger than the burst of its limit."""
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"the message has {size} bytes; at most {rate.burst} are allowed at once "
        f"({_WORDS[limit]}: the limit is {rate})",
    )


def _rejection(problem: str, wait: float) -> StatusError:
    milliseconds = max(1, math.ceil(wait * 1000))
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"{problem}; try again in {milliseconds / 1000:g} s",
        metadata={"retry-after-ms": str(milliseconds)},
    )


MAX_REFILL_TIME = 60.0
"""Seconds. A rejected client is asked to wait for a full bucket, but not longer than this."""


class _Count(NamedTuple):
    limit: str
    rate: Rate
    bucket: TokenBucket
    of_bytes: bool


class UsageOwner(Protocol):
    """The part of `Usage` that a meter needs."""

    limits: UsageLimits

    def now(self) -> float:
        """Return the time in seconds of a monotonic clock."""

    def count_refusal(self, limit: str) -> None:
        """Count a session or join that was rejected because of this limit."""


class SessionMeter:
    """Called with received messages, it removes those that exceed a limit."""

    def __init__(self, accounts: Sequence[Account], usage: UsageOwner) -> None:
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
        now = self._usage.now()
        limits = self._usage.limits
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
        """Count the first messages that are within the limits, and reject the others."""
        for kept, message in enumerate(messages):
            size = len(message)
            short = next((each for each in self._counts if not _fits(each, size, now)), None)
            if short is not None:
                self._refusal = _over_limit(short, size, now)
                self._usage.count_refusal(short.limit)
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
    filled = min(count.bucket.wait(now, rate.burst), MAX_REFILL_TIME)
    return over_rate(count.limit, rate, max(count.bucket.wait(now, number), filled))

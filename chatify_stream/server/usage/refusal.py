"""What whoever is over a limit of use is told. No I/O."""

from __future__ import annotations

import math

from ...errors import Status, StatusError
from ...wire import Rate

__all__ = ["over_count", "over_rate", "too_large"]

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
        f"the message has {size} bytes; at most {rate.burst} are taken at once "
        f"({_WORDS[limit]}: the limit is {rate})",
    )


def _refusal(what: str, wait: float) -> StatusError:
    milliseconds = max(1, math.ceil(wait * 1000))
    return StatusError(
        Status.RESOURCE_EXHAUSTED,
        f"{what}; try again in {milliseconds / 1000:g} s",
        metadata={"retry-after-ms": str(milliseconds)},
    )

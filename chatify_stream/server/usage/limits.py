"""What the limits of use are, and what they are by default."""

from __future__ import annotations

from dataclasses import dataclass

from ...wire import Rate, check_limits

__all__ = ["UsageLimits"]


_JOINS = Rate(200, 20.0)
"""So that a user in as many rooms as there may be comes back into all of them at once."""


@dataclass(frozen=True)
class UsageLimits:
    """How much one session, one user and one address may do; None for no limit.

    A session is a call, such as a Chat stream. Users are those that an authenticator has found;
    where there is none, nobody is believed who he says he is, and only the limits of sessions and
    addresses count. Addresses of IPv6 count as one where their first 64 bits agree.

    What is over a limit ends RESOURCE_EXHAUSTED, with `retry-after-ms` in the trailers. Raises
    `UsageError` for a value that is no limit.
    """

    messages_per_session: Rate | None = None
    messages_per_user: Rate | None = None
    messages_per_address: Rate | None = None

    bytes_per_session: Rate | None = None
    """Of messages, inflated. One that is larger than the burst is never taken."""

    bytes_per_user: Rate | None = None
    bytes_per_address: Rate | None = None

    joins_per_user: Rate | None = _JOINS
    """Sessions of rooms that are opened."""

    joins_per_address: Rate | None = None

    rooms_per_user: int | None = 100
    """Rooms that one is in at a time."""

    rooms_per_address: int | None = None

    sessions_per_user: int | None = 1000
    """Open at a time, in rooms or not."""

    sessions_per_address: int | None = None

    def __post_init__(self) -> None:
        check_limits(self)

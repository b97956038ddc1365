"""The limits of usage, and their default values."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...wire import Rate, check_limits

__all__ = ["NO_LIMITS", "UsageLimits"]


_JOINS = Rate(200, 20.0)
"""Allows a user in the maximum number of rooms to reconnect to all of them at once."""


@dataclass(frozen=True)
class UsageLimits:
    """Limits on one session, one user and one address. None stands for no limit.

    A session is one call, such as a Chat stream. The limits per user apply to authenticated users
    only: without an authenticator, user names are not verified, and only the limits per session and
    per address apply. IPv6 addresses with the same first 64 bits count as one address.

    A call that exceeds a limit ends RESOURCE_EXHAUSTED, with the trailer `retry-after-ms`.

    Raises:
        UsageError: A value is not a valid limit.
    """

    messages_per_session: Rate | None = None
    """Messages received from clients."""

    messages_per_user: Rate | None = None
    messages_per_address: Rate | None = None

    bytes_per_session: Rate | None = None
    """Bytes of these messages, decompressed. A message larger than the burst is always rejected."""

    bytes_per_user: Rate | None = None
    bytes_per_address: Rate | None = None

    joins_per_user: Rate | None = _JOINS
    """Room sessions opened."""

    joins_per_address: Rate | None = None

    rooms_per_user: int | None = 100
    """Rooms joined at the same time."""

    rooms_per_address: int | None = None

    sessions_per_user: int | None = 1000
    """Sessions open at the same time, in rooms or not."""

    sessions_per_address: int | None = None

    def __post_init__(self) -> None:
        check_limits(self)

    def has_any(self, kind: str) -> bool:
        """Return True if there is a limit per `kind`: "session", "user" or "address"."""
        return any(getattr(self, name) is not None for name in _NAMES[kind])


_NAMES = {
    kind: [field.name for field in fields(UsageLimits) if field.name.endswith(f"_per_{kind}")]
    for kind in ("session", "user", "address")
}

NO_LIMITS = UsageLimits(**{field.name: None for field in fields(UsageLimits)})

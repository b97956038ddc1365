"""What the claims of a token (RFC 7519) say: who calls, until when, with which rights. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..errors import UsageError
from .identity import ADMIN, ALL_ROOMS, JOIN, READ, SEND, Grants, Identity
from .jws import WrongTokenError

__all__ = ["DEFAULT_RIGHTS", "ExpiredTokenError", "Policy"]

DEFAULT_RIGHTS = (JOIN, SEND, READ)

LONGEST_LEEWAY = 300.0
"""Seconds."""

MOST_TEXT = 200
"""Characters of what is wrong with a claim, which may have much of it."""


class ExpiredTokenError(WrongTokenError):
    """Its time is over; a new one would be accepted."""


@dataclass(frozen=True)
class Policy:
    """Which tokens are accepted, and what they give. Raises `UsageError`."""

    audience: str | None = None
    """What `aud` has to have in it. Without it, a token for an audience is refused."""
    issuer: str | None = None
    """What `iss` has to be; None for anything."""
    leeway: float = 10.0
    """Seconds that the clocks of issuer and server may differ by."""
    default_rights: Sequence[str] = DEFAULT_RIGHTS
    """The rights in all rooms of whoever has a token without the claim `rooms`."""
    admins: Sequence[str] = ()
    """Patterns of users who have `admin` in all rooms, whatever their tokens say."""
    default_grants: Grants = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= LONGEST_LEEWAY:
            raise UsageError(f"the leeway is from 0 to {LONGEST_LEEWAY:g} s, not {self.leeway!r}")
        grants = Grants.of({ALL_ROOMS: self.default_rights})
        object.__setattr__(self, "default_grants", grants)

    def grants_of(self, user: str, rooms: Grants | None) -> Grants:
        """What a user may do; `rooms` is what the token says, None for nothing."""
        grants = self.default_grants if rooms is None else rooms
        if any(fnmatchcase(user, pattern) for pattern in self.admins):
            return grants | Grants.of({ALL_ROOMS: [ADMIN]})
        return grants

    def identity(self, claims: dict[str, Any], now: float) -> Identity:
        """Who these are the claims of. Raises `WrongTokenError`."""
        expires_at = _time(claims, "exp")
        if expires_at is None:
            raise WrongTokenError("it has no exp: a token says when it expires")
        if now >= expires_at + self.leeway:
            raise ExpiredTokenError("it has expired; a new one is needed")
        for name in ("nbf", "iat"):
            begins_at = _time(claims, name)
            if begins_at is not None and now < begins_at - self.leeway:
                raise WrongTokenError(f"it is not valid yet, by its {name}")
        self._check_audience(claims.get("aud"))
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise WrongTokenError(f"its iss is not {self.issuer!r}")
        try:
            user = claims.get("sub", "")
            grants = self.grants_of(str(user), _rooms(claims))
            return Identity(user, grants, expires_at + self.leeway, "jwt")
        except UsageError as error:
            raise WrongTokenError(f"its claims cannot be used: {str(error)[:MOST_TEXT]}") from None

    def _check_audience(self, audience: Any) -> None:
        if audience is None and self.audience is None:
            return
        audiences = audience if isinstance(audience, list) else [audience]
        if self.audience is None:
            raise WrongTokenError("it is for an audience, and this server is none")
        if self.audience not in audiences:
            raise WrongTokenError(f"it is not for this server: aud has to be {self.audience!r}")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
        raise WrongTokenError(f"its {name} is no number of seconds since 1970")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _rooms(claims: dict[str, Any]) -> Grants | None:
    rooms = claims.get("rooms")
    if rooms is None:
        return None
    if not isinstance(rooms, dict):
        raise UsageError('rooms is an object such as {"lobby": ["join", "send", "read"]}')
    return Grants.of(rooms)

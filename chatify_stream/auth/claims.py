"""Token claims (RFC 7519): user, lifetime and rights. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..errors import UsageError
from .identity import ADMIN, ALL_ROOMS, JOIN, READ, SEND, Grants, Identity
from .jws import InvalidTokenError

DEFAULT_RIGHTS = (JOIN, SEND, READ)

MAX_LEEWAY = 300.0
"""Seconds."""

MAX_ERROR_TEXT = 200
"""Characters shown of an error in a claim; the error may quote a long claim."""


class ExpiredTokenError(InvalidTokenError):
    """The token has expired; a new one would be accepted."""


@dataclass(frozen=True)
class Policy:
    """Rules that accept tokens and assign rights. Raises `UsageError`."""

    audience: str | None = None
    """Value that `aud` must contain; None rejects tokens that have an audience."""
    issuer: str | None = None
    """Required value of `iss`; None accepts any."""
    leeway: float = 10.0
    """Accepted difference between the clocks of issuer and server, in seconds."""
    default_rights: Sequence[str] = DEFAULT_RIGHTS
    """Rights in all rooms for tokens without the claim `rooms`."""
    admins: Sequence[str] = ()
    """Patterns of user names that get `admin` in all rooms, whatever their token grants."""
    default_grants: Grants = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= MAX_LEEWAY:
            raise UsageError(f"leeway: {self.leeway!r} is outside 0 to {MAX_LEEWAY:g} s")
        grants = Grants.of({ALL_ROOMS: self.default_rights})
        object.__setattr__(self, "default_grants", grants)

    def grants_of(self, user: str, rooms: Grants | None) -> Grants:
        """Return the rights of a user; `rooms` holds the rights in the token, or None."""
        grants = self.default_grants if rooms is None else rooms
        if any(fnmatchcase(user, pattern) for pattern in self.admins):
            return grants | Grants.of({ALL_ROOMS: [ADMIN]})
        return grants

    def identity(self, claims: dict[str, Any], now: float) -> Identity:
        """Return the identity in `claims` at Unix time `now`. Raises `InvalidTokenError`."""
        expires_at = _time(claims, "exp")
        if expires_at is None:
            raise InvalidTokenError("no exp; issue tokens with an expiry time")
        if now >= expires_at + self.leeway:
            raise ExpiredTokenError("expired; request a new token")
        for name in ("nbf", "iat"):
            begins_at = _time(claims, name)
            if begins_at is not None and now < begins_at - self.leeway:
                raise InvalidTokenError(f"not valid yet according to {name}")
        self._check_audience(claims.get("aud"))
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise InvalidTokenError(f"iss is not {self.issuer!r}")
        try:
            user = claims.get("sub", "")
            grants = self.grants_of(str(user), _rooms(claims))
            return Identity(user, grants, expires_at + self.leeway, "jwt")
        except UsageError as error:
            raise InvalidTokenError(f"invalid claims: {str(error)[:MAX_ERROR_TEXT]}") from None

    def _check_audience(self, audience: Any) -> None:
        if audience is None and self.audience is None:
            return
        audiences = audience if isinstance(audience, list) else [audience]
        if self.audience is None:
            raise InvalidTokenError("issued for an audience, but this server has none configured")
        if self.audience not in audiences:
            reason = f"issued for another server; aud must contain {self.audience!r}"
            raise InvalidTokenError(reason)


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    with suppress(OverflowError):  # an integer too large for a float
        if is_number and math.isfinite(value):
            return float(value)
    raise InvalidTokenError(f"{name} is not a number of seconds since 1970")


def _rooms(claims: dict[str, Any]) -> Grants | None:
    rooms = claims.get("rooms")
    if rooms is None:
        return None
    if not isinstance(rooms, dict):
        raise UsageError('rooms: expected an object such as {"lobby": ["join", "send", "read"]}')
    return Grants.of(rooms)

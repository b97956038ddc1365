"""Callers: the credentials of a call, the identity behind them and its rights in rooms. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

from ..errors import Status, StatusError, UsageError
from ..rooms import check_name
from ..rooms.metadata import encode_trailers

RIGHTS = JOIN, SEND, READ, ADMIN = ("join", "send", "read", "admin")
"""`join` opens a session, `send` publishes messages, `read` receives messages and history, `admin`
includes all three."""

ALL_ROOMS = "*"


@dataclass(frozen=True)
class Grants:
    """Rights by room name pattern. Raises `UsageError` for an invalid pattern or right."""

    rules: tuple[tuple[str, frozenset[str]], ...] = ()

    def __post_init__(self) -> None:
        for pattern, rights in self.rules:
            text: object = pattern
            if not isinstance(text, str) or not text:
                raise UsageError(
                    f"room pattern {pattern!r}: not a non-empty string; use one such as 'team-*'"
                )
            if unknown := sorted(set(rights) - set(RIGHTS)):
                raise UsageError(f"unknown right {unknown[0]!r}; use {', '.join(RIGHTS)}")

    @classmethod
    def of(cls, rooms: Mapping[str, Iterable[str]]) -> Grants:
        """Return the grants of a mapping such as `{"lobby": ["join"], "team-*": ["admin"]}`.

        Patterns may contain `*`, `?` and `[...]`, and match whole room names. Raises `UsageError`.
        """
        rules = []
        for pattern, rights in rooms.items():
            if isinstance(rights, str) or not isinstance(rights, Iterable):
                raise UsageError(f"rights of {pattern!r}: expected a list, not {rights!r}")
            rights = list(rights)
            if not all(isinstance(right, str) for right in rights):
                raise UsageError(f"rights of {pattern!r}: expected strings such as 'join'")
            rules.append((pattern, frozenset(rights)))
        return cls(tuple(rules))

    def allows(self, right: str, room: str) -> bool:
        """Return whether a pattern that matches `room` grants `right` or `admin`."""
        return any(
            (right in rights or ADMIN in rights) and fnmatchcase(room, pattern)
            for pattern, rights in self.rules
        )

    @property
    def is_admin(self) -> bool:
        """Whether `admin` is granted in all rooms, under the pattern `*` itself."""
        return any(pattern == ALL_ROOMS and ADMIN in rights for pattern, rights in self.rules)

    def __or__(self, other: Grants) -> Grants:
        return Grants(self.rules + other.rules)


@dataclass(frozen=True)
class Identity:
    """An authenticated caller. Raises `UsageError` for an invalid user name."""

    user: str
    grants: Grants = Grants()
    expires_at: float | None = None
    """Unix time in seconds at which the caller's open calls end; None for never."""
    how: str = "other"
    """Method of authentication: `jwt`, `certificate`, or a custom authenticator's own name."""

    def __post_init__(self) -> None:
        user: object = self.user
        if not isinstance(user, str):
            raise UsageError(f"user: expected a string, not {user!r}")
        try:
            check_name("user", user)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if self.expires_at is not None and not math.isfinite(self.expires_at):
            raise UsageError("expires_at: expected a finite number of seconds, or None")

    @property
    def is_admin(self) -> bool:
        return self.grants.is_admin


@dataclass(frozen=True)
class Credentials:
    """Everything in a call that can identify its caller."""

    path: str
    """Path of the method: `/package.Service/Method`."""
    metadata: Mapping[str, str | bytes] = field(repr=False)
    """Excluded from the `repr`, which may be logged: the metadata contains the token."""
    host: str = ""
    """IP address of the client; empty on a Unix socket."""
    certificate: Mapping[str, Any] | None = None
    """Verified client certificate as returned by `ssl.SSLSocket.getpeercert`, or None."""


class Authenticator(Protocol):
    """Identifies the caller of each call before anything else handles the call."""

    async def authenticate(self, call: Credentials) -> Identity:
        """Return the identity of the caller.

        Raise `StatusError` with UNAUTHENTICATED to reject the call; its text tells the caller how
        to fix that. The entry `chat-reconnect: yes` in the error's `metadata` tells clients that a
        new token helps. Any other exception is logged, and the client receives UNAVAILABLE.
        """


def unauthenticated(reason: str, *, new_token_helps: bool = False) -> StatusError:
    """Return the error that rejects a caller; `new_token_helps` tells clients to reconnect."""
    metadata = encode_trailers(reconnect=new_token_helps)
    return StatusError(Status.UNAUTHENTICATED, reason, metadata=metadata)

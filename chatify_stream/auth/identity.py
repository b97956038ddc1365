"""Who calls, and what they may do in which rooms. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import UsageError
from ..rooms import check_name

__all__ = ["ALL_ROOMS", "RIGHTS", "Grants", "Identity"]

RIGHTS = JOIN, SEND, READ, ADMIN = ("join", "send", "read", "admin")
"""`join`: open a session; `send`: publish in it; `read`: be given what is, and was, said there.

`admin` has the three others in it.
"""

ALL_ROOMS = "*"


@dataclass(frozen=True)
class Grants:
    """Rights, by patterns of names of rooms. Raises `UsageError` for what is none."""

    rules: tuple[tuple[str, frozenset[str]], ...] = ()

    def __post_init__(self) -> None:
        for pattern, rights in self.rules:
            text: object = pattern
            if not isinstance(text, str) or not text:
                raise UsageError(f"a pattern of rooms is a text such as 'team-*', not {pattern!r}")
            if unknown := sorted(set(rights) - set(RIGHTS)):
                raise UsageError(f"there is no right {unknown[0]!r}; there are {', '.join(RIGHTS)}")

    @classmethod
    def of(cls, rooms: Mapping[str, Iterable[str]]) -> Grants:
        """Those of a mapping such as `{"lobby": ["join", "read"], "team-*": ["admin"]}`.

        Patterns have `*`, `?` and `[...]`, and match whole names.
        """
        rules = []
        for pattern, rights in rooms.items():
            if isinstance(rights, str) or not isinstance(rights, Iterable):
                raise UsageError(f"the rights in {pattern!r} are a list, not {rights!r}")
            rights = list(rights)
            if not all(isinstance(right, str) for right in rights):
                raise UsageError(f"the rights in {pattern!r} are texts such as 'join'")
            rules.append((pattern, frozenset(rights)))
        return cls(tuple(rules))

    def allows(self, right: str, room: str) -> bool:
        """Whether any of the patterns that match the room gives this right, or `admin`."""
        return any(
            (right in rights or ADMIN in rights) and fnmatchcase(room, pattern)
            for pattern, rights in self.rules
        )

    @property
    def is_admin(self) -> bool:
        """`admin` in all rooms, under the pattern `*` itself."""
        return any(pattern == ALL_ROOMS and ADMIN in rights for pattern, rights in self.rules)

    def __or__(self, other: Grants) -> Grants:
        return Grants(self.rules + other.rules)


@dataclass(frozen=True)
class Identity:
    """Who calls. Raises `UsageError` for a name that no user may have."""

    user: str
    grants: Grants = Grants()
    expires_at: float | None = None
    """In seconds since 1970: when its calls are ended. None for never."""
    how: str = "other"
    """How it is known: `jwt`, `certificate`, or what an authenticator of your own calls it."""

    def __post_init__(self) -> None:
        user: object = self.user
        if not isinstance(user, str):
            raise UsageError(f"the user is a text, not {user!r}")
        try:
            check_name("user", user)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if self.expires_at is not None and not math.isfinite(self.expires_at):
            raise UsageError("expires_at is a number of seconds, or None")

    @property
    def is_admin(self) -> bool:
        return self.grants.is_admin

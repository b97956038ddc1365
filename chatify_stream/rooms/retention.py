"""How many messages a room keeps, and for how long. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import UsageError


@dataclass(frozen=True)
class Retention:
    """How many messages a room keeps, and for how long.

    A message is dropped when the room has more than `count` messages, or when it is older than
    `age`. A client that resumes after a dropped message gets a gap. Raises `UsageError` for invalid
    values.
    """

    count: int = 10_000
    """Maximum number of messages in one room; 0 keeps no messages."""
    age: float = 86_400.0
    """Maximum age of a message in seconds."""

    def __post_init__(self) -> None:
        count: object = self.count
        age: object = self.age
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UsageError(f"count must be a whole number of messages, not {count!r}")
        if not isinstance(age, int | float) or isinstance(age, bool) or not age > 0:
            raise UsageError(f"age must be a number of seconds above 0, not {age!r}")


@dataclass(frozen=True)
class RetentionRule:
    """A retention for the rooms whose names match a pattern.

    `*` matches any characters, `?` matches one character, and `[...]` one of several. The pattern
    must match the whole name. Case matters. Raises `UsageError` for invalid values.
    """

    pattern: str
    retention: Retention

    def __post_init__(self) -> None:
        pattern: object = self.pattern
        retention: object = self.retention
        if not isinstance(pattern, str) or not pattern:
            raise UsageError(f"pattern must be a str such as 'support-*', not {pattern!r}")
        if not isinstance(retention, Retention):
            raise UsageError(f"retention must be a Retention, not {retention!r}")


def retention_of(room: str, default: Retention, rules: Sequence[RetentionRule]) -> Retention:
    """Return the retention of the first rule that matches the room, or the default."""
    for rule in rules:
        if fnmatchcase(room, rule.pattern):
            return rule.retention
    return default

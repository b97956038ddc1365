"""How much of its log a room keeps. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import UsageError

__all__ = ["Retention", "RetentionRule", "retention_of"]


@dataclass(frozen=True)
class Retention:
    """A message is kept until one of both is exceeded. Raises `UsageError` for no such numbers."""

    count: int = 10_000
    """Messages of one room; 0 keeps none."""
    age: float = 86_400.0
    """Seconds."""

    def __post_init__(self) -> None:
        count: object = self.count
        age: object = self.age
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UsageError(f"a room keeps a whole number of messages, not {count!r}")
        if not isinstance(age, int | float) or isinstance(age, bool) or not age > 0:
            raise UsageError(f"a room keeps messages for a number of seconds, not {age!r}")


@dataclass(frozen=True)
class RetentionRule:
    """Another retention for the rooms whose names match a pattern, with `*`, `?` and `[...]`."""

    pattern: str
    retention: Retention

    def __post_init__(self) -> None:
        pattern: object = self.pattern
        retention: object = self.retention
        if not isinstance(pattern, str) or not pattern:
            raise UsageError(f"a pattern is a text such as 'support-*', not {pattern!r}")
        if not isinstance(retention, Retention):
            raise UsageError(f"a rule has a Retention, not {retention!r}")


def retention_of(room: str, default: Retention, rules: Sequence[RetentionRule]) -> Retention:
    """That of the first rule whose pattern matches the whole name of the room, or the default."""
    for rule in rules:
        if fnmatchcase(room, rule.pattern):
            return rule.retention
    return default

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
        if not isinstance(self.count, int) or isinstance(self.count, bool) or self.count < 0:
            raise UsageError(f"a room keeps a whole number of messages, not {self.count!r}")
        if not isinstance(self.age, int | float) or isinstance(self.age, bool) or not self.age > 0:
            raise UsageError(f"a room keeps messages for a number of seconds, not {self.age!r}")


@dataclass(frozen=True)
class RetentionRule:
    """Another retention for the rooms whose names match a pattern, with `*`, `?` and `[...]`."""

    pattern: str
    retention: Retention

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise UsageError(f"a pattern is a text such as 'support-*', not {self.pattern!r}")
        if not isinstance(self.retention, Retention):
            raise UsageError(f"a rule has a Retention, not {self.retention!r}")


def retention_of(room: str, default: Retention, rules: Sequence[RetentionRule]) -> Retention:
    """That of the first rule whose pattern matches the whole name of the room, or the default."""
    for rule in rules:
        if fnmatchcase(room, rule.pattern):
            return rule.retention
    return default

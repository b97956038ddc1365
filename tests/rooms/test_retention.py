"""Tests of rooms/retention.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chatify_stream.errors import UsageError
from chatify_stream.rooms import Retention, RetentionRule, retention_of


def test_default() -> None:
    """A room keeps 10,000 messages for a day."""
    assert Retention() == Retention(count=10_000, age=86_400.0)


@pytest.mark.parametrize("count", [-1, 1.0, True, None, "10", math.inf])
def test_wrong_count(count: Any) -> None:
    """The count is a whole number from 0."""
    with pytest.raises(UsageError, match="count must be a whole number of messages, not "):
        Retention(count=count)


@pytest.mark.parametrize("age", [0, -1, True, None, "10", math.nan])
def test_wrong_age(age: Any) -> None:
    """The age is a number above 0."""
    with pytest.raises(UsageError, match="age must be a number of seconds above 0, not "):
        Retention(age=age)


def test_infinite_age() -> None:
    """The age may be infinite, and the count 0."""
    assert Retention(count=0, age=math.inf).age == math.inf


@pytest.mark.parametrize("pattern", ["", None, 1])
def test_wrong_pattern(pattern: Any) -> None:
    """The pattern is a text and not empty."""
    with pytest.raises(UsageError, match="pattern must be a str such as 'support-\\*', not "):
        RetentionRule(pattern, Retention())


def test_wrong_rule() -> None:
    """A rule requires a `Retention`."""
    with pytest.raises(UsageError, match="retention must be a Retention, not 10"):
        RetentionRule("*", 10)  # type: ignore[arg-type]


def test_first_match() -> None:
    """The first rule that matches the whole name applies, otherwise the default."""
    default = Retention()
    rules = [
        RetentionRule("support-?", Retention(count=1)),
        RetentionRule("support-*", Retention(count=2)),
        RetentionRule("*中文*", Retention(count=3)),
    ]
    counts = {
        "support-1": 1,
        "support-12": 2,
        "Support-1": 10_000,
        "my support-1": 10_000,
        "the 中文 room": 3,
        "lobby": 10_000,
    }
    for room, count in counts.items():
        assert retention_of(room, default, rules).count == count

"""Tests of chat/retention.py."""

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
    """A number of messages is a whole one, 0 or more."""
    with pytest.raises(UsageError, match="a room keeps a whole number of messages, not "):
        Retention(count=count)


@pytest.mark.parametrize("age", [0, -1, True, None, "10", math.nan])
def test_wrong_age(age: Any) -> None:
    """An age is a number of seconds above 0."""
    with pytest.raises(UsageError, match="a room keeps messages for a number of seconds, not "):
        Retention(age=age)


def test_for_ever() -> None:
    """An age may be infinite, and a number 0."""
    assert Retention(count=0, age=math.inf).age == math.inf


@pytest.mark.parametrize("pattern", ["", None, 1])
def test_wrong_pattern(pattern: Any) -> None:
    """A pattern is a text, which is not empty."""
    with pytest.raises(UsageError, match="a pattern is a text such as 'support-\\*', not "):
        RetentionRule(pattern, Retention())


def test_wrong_rule() -> None:
    """A rule has a retention."""
    with pytest.raises(UsageError, match="a rule has a Retention, not 10"):
        RetentionRule("*", 10)  # type: ignore[arg-type]


def test_first_match() -> None:
    """The first pattern that matches the whole name decides, with its case; else the default."""
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

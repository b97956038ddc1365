"""Tests of limits.py: the limits of connections."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from chatify_stream.config import LimitSettings, UsageSettings
from chatify_stream.config.kinds import Integer, Seconds
from chatify_stream.config.kinds import Rate as RateKind
from chatify_stream.errors import UsageError
from chatify_stream.limits import Limits, Rate, UsageLimits

WHOLE = "is not allowed; pass a whole number from 1 to 2147483647"
POSITIVE = "is not allowed; pass a number above 0"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_message_size", 0, f"max_message_size: 0 {WHOLE}"),
        ("max_message_size", 1.5, f"max_message_size: 1.5 {WHOLE}"),
        ("max_message_size", None, f"max_message_size: None {WHOLE}"),
        ("max_header_list_size", 2**31, f"max_header_list_size: 2147483648 {WHOLE}"),
        ("max_concurrent_streams", True, f"max_concurrent_streams: True {WHOLE}"),
        ("max_connections", -1, f"max_connections: -1 {WHOLE}"),
        ("keepalive_timeout", "10", f"keepalive_timeout: '10' {POSITIVE}"),
        ("write_timeout", float("nan"), f"write_timeout: nan {POSITIVE}"),
        ("write_timeout", float("inf"), f"write_timeout: inf {POSITIVE}"),
        ("pings", Rate(0, 1), f"pings.burst: 0 {WHOLE}"),
        ("resets", Rate(1, -2), f"resets.per_second: -2 {POSITIVE}"),
        ("glitches", 5, "glitches: 5 is not a rate; pass a Rate"),
    ],
)
def test_values_that_are_not_allowed(name: str, value: Any, text: str) -> None:
    """A value that is not allowed raises an error with the name of the limit."""
    with pytest.raises(UsageError) as caught:
        Limits(**{name: value})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "connection_rate_per_address",
        "max_connections",
        "keepalive_time",
        "write_timeout",
        "max_connection_age",
    ],
)
def test_none_turns_a_limit_off(name: str) -> None:
    """None turns an optional limit off."""
    assert getattr(Limits(**{name: None}), name) is None


def test_descriptions() -> None:
    """Every limit has a default, a unit and one sentence that says what it limits."""
    described = LimitSettings.describe()
    assert {each.key: each.default for each in described} == vars(Limits())
    for each in described:
        assert each.doc.endswith(".")
        assert isinstance(each.kind, Seconds) == each.doc.startswith("Seconds ")
        is_size = isinstance(each.kind, Integer) and each.kind.unit == "bytes"
        assert is_size == each.doc.endswith("in bytes.")
        is_rate = isinstance(each.kind, RateKind)
        assert is_rate == isinstance(each.default, Rate) or each.default is None
    assert [each.key for each in described if each.kind.optional] == [
        "max_connections",
        "max_connections_per_address",
        "connection_rate_per_address",
        "handshake_timeout",
        "first_call_timeout",
        "keepalive_time",
        "write_timeout",
        "max_connection_age",
    ]


def test_usage_descriptions() -> None:
    """Every usage limit has a default, a unit and one sentence, and can be turned off."""
    described = {each.key: each for each in UsageSettings.describe()}
    limits = fields(UsageLimits)
    assert {each.name: each.default for each in limits} == vars(UsageLimits())
    for each in limits:
        assert described[each.name].default == each.default
        assert described[each.name].doc.endswith(".")
        assert each.metadata["doc"].split()[0] == "Maximum"
        assert described[each.name].kind.optional

"""Tests of server/usage/limits.py, and of the errors of meter.py."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream import Rate, Status, UsageError, UsageLimits
from chatify_stream.server.usage.usage import over_count, over_rate, too_large

NAMES = list(UsageLimits.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("messages_per_user", 5, "messages_per_user: 5 is not a rate; pass a Rate"),
        (
            "bytes_per_session",
            Rate(0, 1),
            "bytes_per_session.burst: 0 is not allowed; pass a whole number",
        ),
        (
            "joins_per_address",
            Rate(1, 0),
            "joins_per_address.per_second: 0 is not allowed; pass a number above",
        ),
        ("rooms_per_user", 0, "rooms_per_user: 0 is not allowed; pass a whole number from 1"),
        (
            "sessions_per_address",
            True,
            "sessions_per_address: True is not allowed; pass a whole number",
        ),
    ],
)
def test_invalid_value(name: str, value: Any, text: str) -> None:
    """An invalid value raises an error that names the limit."""
    with pytest.raises(UsageError, match=text):
        UsageLimits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_none(name: str) -> None:
    """Every limit may be None."""
    assert getattr(UsageLimits(**{name: None}), name) is None


@pytest.mark.parametrize("name", NAMES)
def test_error_names_the_limit(name: str) -> None:
    """The error of each limit names it, its value, and the time of the next attempt."""
    if name.startswith(("rooms", "sessions")):
        error = over_count(name, 7)
        assert "at most 7 at a time; try again in 5 s" in str(error.message)
        assert error.retry_after == 5
    else:
        error = over_rate(name, Rate(7, 0.5), 1.2341)
        assert "the limit is 7, then 0.5/s; try again in 1.235 s" in str(error.message)
        assert error.retry_after == 1.235
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert name.rpartition("_")[2] in str(error.message)


def test_shortest_time() -> None:
    """The time of the next attempt is at least one millisecond."""
    assert over_rate("joins_per_user", Rate(1, 1.0), 0.0).retry_after == 0.001


def test_a_message_that_is_too_large() -> None:
    """The error for a message larger than the burst has no time of a next attempt."""
    error = too_large("bytes_per_user", Rate(10, 1.0), 11)
    assert (error.status, error.retry_after) == (Status.RESOURCE_EXHAUSTED, None)
    assert "the message has 11 bytes; at most 10 are allowed at once" in str(error.message)

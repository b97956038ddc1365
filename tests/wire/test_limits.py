"""Tests of wire/limits.py."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream.errors import UsageError
from chatify_stream.wire import Limits, Rate

WHOLE = "has to be a whole number from 1 to 2147483647, not"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_message_size", 0, f"max_message_size {WHOLE} 0"),
        ("max_message_size", 1.5, f"max_message_size {WHOLE} 1.5"),
        ("max_message_size", None, f"max_message_size {WHOLE} None"),
        ("max_header_list_size", 2**31, f"max_header_list_size {WHOLE} 2147483648"),
        ("max_concurrent_streams", True, f"max_concurrent_streams {WHOLE} True"),
        ("max_connections", -1, f"max_connections {WHOLE} -1"),
        ("keepalive_timeout", "10", "keepalive_timeout has to be a number above 0, not '10'"),
        ("write_timeout", float("nan"), "write_timeout has to be a number above 0, not nan"),
        ("write_timeout", float("inf"), "write_timeout has to be a number above 0, not inf"),
        ("pings", Rate(0, 1), f"pings.burst {WHOLE} 0"),
        ("resets", Rate(1, -2), "resets.per_second has to be a number above 0, not -2"),
        ("glitches", 5, "glitches has to be a Rate"),
    ],
)
def test_what_is_no_limit(name: str, value: Any, text: str) -> None:
    """A value that is no limit is refused, by its name."""
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
def test_none_is_no_limit(name: str) -> None:
    """Where a limit may be left out, None leaves it out."""
    assert getattr(Limits(**{name: None}), name) is None

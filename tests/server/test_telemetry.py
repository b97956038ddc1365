"""Tests of server/telemetry.py."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream import MetricsOptions, UsageError


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "pass port= or registry="),
        ({"port": -1}, "not -1"),
        ({"port": 65536}, "not 65536"),
        ({"port": "9100"}, "not '9100'"),
        ({"port": True}, "not True"),
        ({"port": 1, "host": "no host"}, "'no host'"),
    ],
)
def test_wrong(options: dict[str, Any], problem: str) -> None:
    """A wrong option is rejected, with its value."""
    with pytest.raises(UsageError, match=problem):
        MetricsOptions(**options)

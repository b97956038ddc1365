"""Tests of testing/clock.py."""

from __future__ import annotations

from chatify_stream.testing import FakeClock


def test_it_stands_still() -> None:
    """It gives the same time until it is told, in seconds and in milliseconds."""
    clock = FakeClock(1000.0)
    assert (clock(), clock(), clock.now_ms) == (1000.0, 1000.0, 1_000_000)
    clock.advance(0.25)
    assert (clock(), clock.now_ms) == (1000.25, 1_000_250)

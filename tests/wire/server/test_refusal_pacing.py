"""Tests of RefusalPacing in wire/server/calls.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.server.calls import RefusalPacing

LIMITS = Limits(refusals=Rate(3, 2.0), max_concurrent_streams=4)


def test_past_the_burst_refusals_come_at_the_rate() -> None:
    """Rejections within the burst are immediate. Further ones are spaced by the rate."""
    refusals = RefusalPacing(LIMITS, 100.0)
    assert [refusals.delay(100.0) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_time_heals() -> None:
    """After a pause the burst is available again."""
    refusals = RefusalPacing(LIMITS, 100.0)
    for _ in range(6):
        refusals.delay(100.0)
    assert refusals.delay(101.0) == 1.0
    assert [refusals.delay(200.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_who_waits_never_owes_too_much() -> None:
    """A peer that keeps to the stream limit and waits for each status can go on forever."""
    refusals, now = RefusalPacing(LIMITS, 100.0), 100.0
    told_at = sorted(now + refusals.delay(now) for _ in range(LIMITS.max_concurrent_streams))
    for _ in range(1000):
        now = told_at.pop(0)
        assert not refusals.is_exceeded(now)
        told_at.append(now + refusals.delay(now))
    assert now == pytest.approx(100 + 1000 / 2.0, abs=5)


def test_who_does_not_wait_owes_too_much() -> None:
    """A peer with more unanswered calls than the stream limit is detected."""
    refusals = RefusalPacing(LIMITS, 100.0)
    for _ in range(3 + 4):
        assert not refusals.is_exceeded(100.0)
        refusals.delay(100.0)
    assert not refusals.is_exceeded(100.0)
    refusals.delay(100.0)
    assert refusals.is_exceeded(100.0)
    assert not refusals.is_exceeded(100.5)

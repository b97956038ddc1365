"""Tests of wire/refusals.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.server.refusal_pacing import Refusals

LIMITS = Limits(refusals=Rate(3, 2.0), max_concurrent_streams=4)


def test_past_the_burst_refusals_come_at_the_rate() -> None:
    """The first ones are told at once, and each further one a moment later than the one before."""
    refusals = Refusals(LIMITS, 100.0)
    assert [refusals.delay(100.0) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_time_heals() -> None:
    """What was owed is paid by waiting, and then there is a burst again."""
    refusals = Refusals(LIMITS, 100.0)
    for _ in range(6):
        refusals.delay(100.0)
    assert refusals.delay(101.0) == 1.0
    assert [refusals.delay(200.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_who_waits_never_owes_too_much() -> None:
    """A peer that has as many calls open as it may, and waits for each, goes on for ever."""
    refusals, now = Refusals(LIMITS, 100.0), 100.0
    told_at = sorted(now + refusals.delay(now) for _ in range(LIMITS.max_concurrent_streams))
    for _ in range(1000):
        now = told_at.pop(0)
        assert not refusals.is_too_much(now)
        told_at.append(now + refusals.delay(now))
    assert now == pytest.approx(100 + 1000 / 2.0, abs=5)


def test_who_does_not_wait_owes_too_much() -> None:
    """A peer that makes more calls than may be open, before it is told of them, is found out."""
    refusals = Refusals(LIMITS, 100.0)
    for _ in range(3 + 4):
        assert not refusals.is_too_much(100.0)
        refusals.delay(100.0)
    assert not refusals.is_too_much(100.0)
    refusals.delay(100.0)
    assert refusals.is_too_much(100.0)
    assert not refusals.is_too_much(100.5)

"""Tests of wire/backoff.py, with a clock that stands still until it is told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import UsageError
from chatify_stream.wire.client.backoff import QUICK, Attempts, Backoff
from chatify_stream.wire.client.state import Failure

from ..clock import Clock

SILENT = Failure("no answer")
REFUSED = Failure("refused", retry_at_once=True)


def attempts(clock: Clock, chance: float = 0.5, **options: float) -> Attempts:
    return Attempts(Backoff(**options), clock, lambda: chance)


def fail(attempts: Attempts, clock: Clock, failure: Failure = SILENT, seconds: float = 0) -> float:
    """An attempt that fails after some seconds; returns how long the wait after it is."""
    attempts.begin()
    clock.now += seconds
    attempts.fail(failure)
    return attempts.remaining


class TestBackoff:
    def test_the_numbers_of_grpc(self) -> None:
        """1 s at first, 1.6 times as long each time, up to 120 s, and chance has a fifth."""
        assert Backoff() == Backoff(initial=1.0, factor=1.6, jitter=0.2, maximum=120.0)

    @pytest.mark.parametrize("chance", [0.0, 0.25, 1.0])
    def test_jitter(self, chance: float) -> None:
        """Chance makes a wait longer or shorter, by a part of it."""
        assert Backoff().with_jitter(10, chance) == pytest.approx({0: 8, 0.25: 9, 1: 12}[chance])

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1"])
    @pytest.mark.parametrize("field", ["initial", "factor", "jitter", "maximum"])
    def test_wrong(self, field: str, value: float) -> None:
        """What is no time, or makes waits shorter each time, is refused by its name."""
        with pytest.raises(UsageError, match=f"^a Backoff's {field} is a number "):
            Backoff(**{field: value})

    def test_at_the_bounds(self) -> None:
        """A maximum below the initial wait, no wait at all, and a jitter of all are refused."""
        Backoff(initial=3, factor=1, jitter=0, maximum=3)
        for wrong in ({"initial": 3, "maximum": 2}, {"initial": 0}, {"jitter": 1}, {"factor": 0.9}):
            with pytest.raises(UsageError):
                Backoff(**wrong)


class TestAttempts:
    def test_nothing_has_failed(self, clock: Clock) -> None:
        """The first attempt is due at once, and worth waiting for."""
        fresh = attempts(clock)
        assert (fresh.is_due, fresh.is_hopeful, fresh.failure) == (True, True, None)

    def test_failures_in_a_row(self, clock: Clock) -> None:
        """Each wait is longer than the one before it, up to the maximum."""
        failing = attempts(clock, maximum=4)
        assert [fail(failing, clock) for _ in range(6)] == pytest.approx([1, 1.6, 2.56, 4, 4, 4])

    def test_success(self, clock: Clock) -> None:
        """A success makes the next failure the first again."""
        failing = attempts(clock)
        fail(failing, clock)
        fail(failing, clock)
        failing.succeed()
        assert (failing.is_due, failing.failure) == (True, None)
        assert fail(failing, clock) == 1

    def test_due(self, clock: Clock) -> None:
        """The next attempt is due when the wait after the end of the last is over."""
        failing = attempts(clock)
        assert fail(failing, clock, seconds=30) == 1
        clock.now += 0.75
        assert (failing.remaining, failing.is_due) == (0.25, False)
        clock.now += 0.25
        assert (failing.remaining, failing.is_due) == (0, True)
        clock.now += 1000
        assert failing.remaining == 0

    @given(st.floats(0, 1), st.integers(1, 2000))
    def test_any_number_of_failures(self, chance: float, failures: int) -> None:
        """However many failures there were, the wait stays within the maximum and its jitter."""
        clock = Clock()
        failing = attempts(clock, chance)
        waits = [fail(failing, clock) for _ in range(failures)]
        assert all(0.8 - 1e-9 <= wait <= 144 + 1e-9 for wait in waits)

    def test_a_refusal_may_be_tried_again(self, clock: Clock) -> None:
        """A call may try a refused address at once; one that failed otherwise, when it is due."""
        refused, silent = attempts(clock), attempts(clock)
        fail(refused, clock, REFUSED)
        fail(silent, clock, SILENT)
        assert (refused.is_due, refused.may_be_asked_for) == (False, True)
        assert (silent.is_due, silent.may_be_asked_for) == (False, False)
        clock.now += 1
        assert silent.may_be_asked_for

    def test_what_is_worth_waiting_for(self, clock: Clock) -> None:
        """An attempt is, unless the one before it took long to fail."""
        failing = attempts(clock)
        fail(failing, clock, seconds=QUICK / 2)
        assert failing.is_hopeful
        fail(failing, clock, seconds=QUICK)
        assert not failing.is_hopeful
        failing.begin()
        assert not failing.is_hopeful
        failing.succeed()
        assert failing.is_hopeful

    def test_age(self, clock: Clock) -> None:
        """The age counts from the beginning of the last attempt."""
        aging = attempts(clock)
        aging.begin()
        clock.now += 5
        assert aging.age == 5

"""Tests of wire/client/backoff.py, with a fake clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import UsageError
from chatify_stream.wire.client.backoff import FAST_FAILURE, Attempts, Backoff
from chatify_stream.wire.client.state import Failure

from ..clock import Clock

SILENT = Failure("no answer")
REFUSED = Failure("refused", retry_at_once=True)


def attempts(clock: Clock, chance: float = 0.5, **options: float) -> Attempts:
    return Attempts(Backoff(**options), clock, lambda: chance)


def fail(attempts: Attempts, clock: Clock, failure: Failure = SILENT, seconds: float = 0) -> float:
    """Fail an attempt after some seconds. Return the delay after it."""
    attempts.begin()
    clock.now += seconds
    attempts.fail(failure)
    return attempts.remaining


class TestBackoff:
    def test_defaults(self) -> None:
        """The defaults are those of gRPC."""
        assert Backoff() == Backoff(initial=1.0, factor=1.6, jitter=0.2, maximum=120.0)

    @pytest.mark.parametrize("chance", [0.0, 0.25, 1.0])
    def test_jitter(self, chance: float) -> None:
        """Jitter makes a delay longer or shorter by a fraction of it."""
        assert Backoff().with_jitter(10, chance) == pytest.approx({0: 8, 0.25: 9, 1: 12}[chance])

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1"])
    @pytest.mark.parametrize("field", ["initial", "factor", "jitter", "maximum"])
    def test_wrong(self, field: str, value: float) -> None:
        """A value out of range is an error that names the field."""
        with pytest.raises(
            UsageError, match=rf"^Backoff\.{field}: .* is not allowed; pass a number "
        ):
            Backoff(**{field: value})

    def test_at_the_bounds(self) -> None:
        """A maximum below the initial delay, a zero delay and a jitter of 1 are errors."""
        Backoff(initial=3, factor=1, jitter=0, maximum=3)
        for wrong in ({"initial": 3, "maximum": 2}, {"initial": 0}, {"jitter": 1}, {"factor": 0.9}):
            with pytest.raises(UsageError):
                Backoff(**wrong)


class TestAttempts:
    def test_no_attempt_yet(self, clock: Clock) -> None:
        """The first attempt is due immediately, and calls wait for it."""
        fresh = attempts(clock)
        assert (fresh.is_due, fresh.fails_fast, fresh.failure) == (True, True, None)

    def test_failures_in_a_row(self, clock: Clock) -> None:
        """The delay grows with each failure, up to the maximum."""
        failing = attempts(clock, maximum=4)
        assert [fail(failing, clock) for _ in range(6)] == pytest.approx([1, 1.6, 2.56, 4, 4, 4])

    def test_success(self, clock: Clock) -> None:
        """A success resets the delay."""
        failing = attempts(clock)
        fail(failing, clock)
        fail(failing, clock)
        failing.succeed()
        assert (failing.is_due, failing.failure) == (True, None)
        assert fail(failing, clock) == 1

    def test_due(self, clock: Clock) -> None:
        """The next attempt is due when the delay after the end of the last one is over."""
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
        """After any number of failures the delay is within the maximum and its jitter."""
        clock = Clock()
        failing = attempts(clock, chance)
        waits = [fail(failing, clock) for _ in range(failures)]
        assert all(0.8 - 1e-9 <= wait <= 144 + 1e-9 for wait in waits)

    def test_refused_connections(self, clock: Clock) -> None:
        """A call may retry a refused connection immediately, other failures when they are due."""
        refused, silent = attempts(clock), attempts(clock)
        fail(refused, clock, REFUSED)
        fail(silent, clock, SILENT)
        assert (refused.is_due, refused.may_start_for_call) == (False, True)
        assert (silent.is_due, silent.may_start_for_call) == (False, False)
        clock.now += 1
        assert silent.may_start_for_call

    def test_fast_failures(self, clock: Clock) -> None:
        """Calls wait for an attempt unless the one before took long to fail."""
        failing = attempts(clock)
        fail(failing, clock, seconds=FAST_FAILURE / 2)
        assert failing.fails_fast
        fail(failing, clock, seconds=FAST_FAILURE)
        assert not failing.fails_fast
        failing.begin()
        assert not failing.fails_fast
        failing.succeed()
        assert failing.fails_fast

    def test_age(self, clock: Clock) -> None:
        """The age counts from the start of the last attempt."""
        aging = attempts(clock)
        aging.begin()
        clock.now += 5
        assert aging.age == 5

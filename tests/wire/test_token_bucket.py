"""Tests of wire/token_bucket.py. The tests pass the time in."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire import Rate
from chatify_stream.wire.token_bucket import TokenBucket, TokenBuckets

BURSTS = st.integers(1, 50)
RATES = st.sampled_from([0.125, 0.5, 1.0, 4.0, 32.0])
STEPS = st.lists(st.tuples(st.integers(0, 64), st.integers(1, 20)), max_size=60)
"""Pairs of a delay, in eighths of a second, and a number of tokens to take."""


class TestTokenBucket:
    def test_a_burst_and_then_a_rate(self) -> None:
        """The burst is available at once. Taken tokens come back over time, up to the burst."""
        bucket = TokenBucket(Rate(3, 2.0), 0.0)
        assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
        assert [bucket.take(1.0) for _ in range(3)] == [True, True, False]
        assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]

    def test_failed_takes_cost_nothing(self) -> None:
        """Failed attempts do not delay the next token."""
        bucket = TokenBucket(Rate(1, 1.0), 0.0)
        assert bucket.take(0.0)
        assert [bucket.take(now / 8) for now in range(1, 9)] == [False] * 7 + [True]

    @given(burst=BURSTS, per_second=RATES, steps=STEPS)
    def test_bound_in_any_period(
        self, burst: int, per_second: float, steps: list[tuple[int, int]]
    ) -> None:
        """In any period at most the burst plus the gained tokens are taken."""
        bucket = TokenBucket(Rate(burst, per_second), 0.0)
        times = [eighths / 8 for eighths in accumulate(step for step, _ in steps)]
        taken: list[tuple[float, int]] = []
        for now, (_, number) in zip(times, steps, strict=True):
            if bucket.available(now) >= number:
                bucket.spend(number)
                taken.append((now, number))
        for first in range(len(taken)):
            total = 0
            for now, number in taken[first:]:
                total += number
                assert total <= burst + per_second * (now - taken[first][0])

    @given(burst=BURSTS, per_second=RATES, steps=STEPS, number=st.integers(1, 50))
    def test_wait_is_exact(
        self, burst: int, per_second: float, steps: list[tuple[int, int]], number: int
    ) -> None:
        """The tokens are available after the returned wait, and not before."""
        bucket, now = TokenBucket(Rate(burst, per_second), 0.0), 0.0
        for eighths, asked in steps:
            now += eighths / 8
            bucket.spend(min(asked, int(bucket.available(now))))
        wait = bucket.wait(now, min(number, burst))
        if wait:
            assert bucket.available(now + wait / 2) < min(number, burst)
        assert bucket.available(now + wait) >= min(number, burst) - 1e-9

    def test_full(self) -> None:
        """A bucket is full at first, and after all taken tokens have come back."""
        bucket = TokenBucket(Rate(4, 2.0), 0.0)
        assert bucket.is_full(0.0)
        bucket.spend(3)
        assert not bucket.is_full(1.0)
        assert bucket.is_full(1.5)

    @pytest.mark.parametrize(("burst", "left"), [(2, 0), (3, 0), (5, 2), (10, 7)])
    def test_change(self, burst: int, left: int) -> None:
        """After a change, taken tokens stay taken and come back at the new rate."""
        bucket = TokenBucket(Rate(5, 1.0), 0.0)
        bucket.spend(3)
        bucket.change(Rate(burst, 0.5), 0.0)
        assert bucket.available(0.0) == left
        assert bucket.available(2.0) == left + 1


class TestTokenBuckets:
    def test_keys_are_independent(self) -> None:
        """One key without tokens does not affect the other keys."""
        buckets = TokenBuckets(Rate(2, 1.0))
        assert [buckets.take("ada", 0.0) for _ in range(3)] == [True, True, False]
        assert buckets.take("bob", 0.0)
        assert buckets.take("ada", 1.0)

    def test_full_buckets_are_dropped(self) -> None:
        """Full buckets are dropped from the table."""
        buckets = TokenBuckets(Rate(2, 1.0))
        for number in range(50):
            buckets.take(str(number), 0.0)
        assert len(buckets) == 50
        buckets.take("ada", 1.0)
        assert len(buckets) == 1

    def test_number_of_buckets_is_bounded(self) -> None:
        """Many keys do not grow the table beyond its limit. Recent keys are kept."""
        buckets = TokenBuckets(Rate(1, 0.001), max_buckets=10)
        for number in range(1000):
            assert buckets.take(str(number), 0.0)
            assert len(buckets) <= 10
        assert not buckets.take("999", 0.0)
        assert buckets.take("0", 0.0)

"""Tests of wire/token_bucket.py: on values, with the time passed in."""

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
"""How many eighths of a second later somebody asks, and for how many."""


class TestTokenBucket:
    def test_a_burst_and_then_a_rate(self) -> None:
        """The burst is there at once; what was taken comes back in time, and no more."""
        bucket = TokenBucket(Rate(3, 2.0), 0.0)
        assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
        assert [bucket.take(1.0) for _ in range(3)] == [True, True, False]
        assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]

    def test_asking_in_vain_costs_nothing(self) -> None:
        """Who asks again and again gets the next token as soon as any other."""
        bucket = TokenBucket(Rate(1, 1.0), 0.0)
        assert bucket.take(0.0)
        assert [bucket.take(now / 8) for now in range(1, 9)] == [False] * 7 + [True]

    @given(burst=BURSTS, per_second=RATES, steps=STEPS)
    def test_never_more_in_any_stretch_of_time(
        self, burst: int, per_second: float, steps: list[tuple[int, int]]
    ) -> None:
        """Between any two moments no more is taken than the burst and what is gained meanwhile."""
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
    def test_the_wait_is_long_enough_and_no_longer(
        self, burst: int, per_second: float, steps: list[tuple[int, int]], number: int
    ) -> None:
        """After the time that it says there are so many tokens, and before it there are not."""
        bucket, now = TokenBucket(Rate(burst, per_second), 0.0), 0.0
        for eighths, asked in steps:
            now += eighths / 8
            bucket.spend(min(asked, int(bucket.available(now))))
        wait = bucket.wait(now, min(number, burst))
        if wait:
            assert bucket.available(now + wait / 2) < min(number, burst)
        assert bucket.available(now + wait) >= min(number, burst) - 1e-9

    def test_full(self) -> None:
        """It is full at first, and when all that was taken has come back."""
        bucket = TokenBucket(Rate(4, 2.0), 0.0)
        assert bucket.is_full(0.0)
        bucket.spend(3)
        assert not bucket.is_full(1.0)
        assert bucket.is_full(1.5)

    @pytest.mark.parametrize(("burst", "left"), [(2, 0), (3, 0), (5, 2), (10, 7)])
    def test_another_rate(self, burst: int, left: int) -> None:
        """With another rate what was taken stays taken, and comes back as the new one says."""
        bucket = TokenBucket(Rate(5, 1.0), 0.0)
        bucket.spend(3)
        bucket.change(Rate(burst, 0.5), 0.0)
        assert bucket.available(0.0) == left
        assert bucket.available(2.0) == left + 1


class TestTokenBuckets:
    def test_each_key_has_its_own(self) -> None:
        """Who has used up his own has not used up that of others."""
        buckets = TokenBuckets(Rate(2, 1.0))
        assert [buckets.take("ada", 0.0) for _ in range(3)] == [True, True, False]
        assert buckets.take("bob", 0.0)
        assert buckets.take("ada", 1.0)

    def test_full_ones_are_forgotten(self) -> None:
        """Those whose tokens are all back take no memory."""
        buckets = TokenBuckets(Rate(2, 1.0))
        for number in range(50):
            buckets.take(str(number), 0.0)
        assert len(buckets) == 50
        buckets.take("ada", 1.0)
        assert len(buckets) == 1

    def test_there_are_no_more_than_so_many(self) -> None:
        """A flood of keys costs no more than that; who came last is remembered."""
        buckets = TokenBuckets(Rate(1, 0.001), most=10)
        for number in range(1000):
            assert buckets.take(str(number), 0.0)
            assert len(buckets) <= 10
        assert not buckets.take("999", 0.0)
        assert buckets.take("0", 0.0)

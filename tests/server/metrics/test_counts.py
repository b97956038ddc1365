"""Tests of server/metrics/counts.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chatify_stream import BrokerError
from chatify_stream.server.metrics.counts import BrokerTimes, Histogram


def test_histogram() -> None:
    """A value counts at each bound that it does not exceed, and in the total."""
    histogram = Histogram([1, 2, 5])
    for value in (0.5, 1, 1.5, 5, 6):
        histogram.observe(value)
    assert histogram.cumulative == [2, 3, 4, 5]
    assert histogram.count == 5
    assert histogram.sum == 14


def test_empty_histogram() -> None:
    """Without values everything is 0."""
    histogram = Histogram([1])
    assert (histogram.cumulative, histogram.count, histogram.sum) == ([0, 0], 0, 0)


@pytest.fixture
def times() -> BrokerTimes:
    """Times by a clock on which each call takes two seconds."""

    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 2.0

    clock = ticks()
    return BrokerTimes(clock=lambda: next(clock))


async def test_a_call(times: BrokerTimes) -> None:
    """The result of a call is returned, and its time counted."""

    async def call() -> int:
        return 7

    assert await times.measure("read", "room", call()) == 7
    assert (times.seconds["read"].count, times.seconds["read"].sum) == (1, 2.0)
    assert times.seconds["publish"].count == 0
    assert not any(times.errors.values())


async def test_a_failure(times: BrokerTimes) -> None:
    """An error of a call is counted, timed and raised."""

    async def fail() -> None:
        raise BrokerError("memory://", "away")

    with pytest.raises(BrokerError):
        await times.measure("publish", "room", fail())
    assert times.errors["publish"] == 1
    assert times.seconds["publish"].count == 1


async def test_cancelling(times: BrokerTimes) -> None:
    """A cancelled call is timed and is not an error."""
    call = asyncio.ensure_future(times.measure("enter", "room", asyncio.Event().wait()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert times.errors["enter"] == 0
    assert times.seconds["enter"].count == 1

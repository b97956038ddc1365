"""How long the calls of a broker take, and how many fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chatify_stream import BrokerError
from chatify_stream.server.metrics.timings import BrokerTimes


@pytest.fixture
def times() -> BrokerTimes:
    """By a clock on which everything takes two seconds."""

    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 2.0

    clock = ticks()
    return BrokerTimes(clock=lambda: next(clock))


async def test_a_call(times: BrokerTimes) -> None:
    """What the call returns is returned, and its time counted."""

    async def call() -> int:
        return 7

    assert await times.watch("read", "room", call()) == 7
    assert (times.seconds["read"].count, times.seconds["read"].sum) == (1, 2.0)
    assert times.seconds["publish"].count == 0
    assert not any(times.errors.values())


async def test_a_failure(times: BrokerTimes) -> None:
    """One that fails is an error, which is raised on, and took its time."""

    async def fail() -> None:
        raise BrokerError("memory://", "away")

    with pytest.raises(BrokerError):
        await times.watch("publish", "room", fail())
    assert times.errors["publish"] == 1
    assert times.seconds["publish"].count == 1


async def test_cancelling(times: BrokerTimes) -> None:
    """One that is cancelled has not failed."""
    call = asyncio.ensure_future(times.watch("enter", "room", asyncio.Event().wait()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert times.errors["enter"] == 0
    assert times.seconds["enter"].count == 1

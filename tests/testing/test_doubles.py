"""Tests of testing/doubles.py."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.rooms import Publication
from chatify_stream.rooms.position import Position
from chatify_stream.testing import FakeClock, Recorder


def publications(*offsets: int) -> list[Publication]:
    return [Publication(offset, "ada", str(offset), "", 0) for offset in offsets]


async def test_what_is_told() -> None:
    """It keeps what it is told, by room."""
    recorder = Recorder()
    recorder.begins_at("lobby", Position("e", 3))
    recorder.published("lobby", publications(4, 5))
    recorder.published("lobby", publications(6))
    recorder.presence_changed("attic", "ada", True)
    assert recorder.begun == {"lobby": [Position("e", 3)]}
    assert recorder.delivered == {"lobby": publications(4, 5, 6)}
    assert recorder.offsets("lobby") == [4, 5, 6]
    assert recorder.presence == {"attic": [("ada", True)]}
    assert recorder.faults == []


@pytest.mark.parametrize("offsets", [(4, 6), (5,), (3,), (4, 4), (5, 4)])
async def test_faults_of_order(offsets: tuple[int, ...]) -> None:
    """It notices what is missing, repeated, or out of order."""
    recorder = Recorder()
    recorder.begins_at("lobby", Position("e", 3))
    recorder.published("lobby", publications(*offsets))
    assert recorder.faults


async def test_told_before_it_began() -> None:
    """It notices what is told of a room that has not begun."""
    recorder = Recorder()
    recorder.published("lobby", publications(1))
    assert len(recorder.faults) == 1


async def test_until() -> None:
    """It waits until something is so, however often it is told something else."""
    recorder = Recorder()
    waiting = asyncio.create_task(recorder.until(lambda: recorder.offsets("lobby") == [1, 2]))
    recorder.begins_at("lobby", Position("e", 0))
    for offset in (1, 2):
        await asyncio.sleep(0)
        assert not waiting.done()
        recorder.published("lobby", publications(offset))
    await waiting


async def test_until_never() -> None:
    """It does not wait for ever, and says what it was told."""
    recorder = Recorder()
    recorder.presence_changed("lobby", "ada", True)
    with pytest.raises(AssertionError, match=r"within 0\.01 s.*\('ada', True\)"):
        await recorder.until(lambda: False, 0.01)


def test_clock() -> None:
    """A clock returns the same time, in seconds and milliseconds, until it is advanced."""
    clock = FakeClock(1000.0)
    assert (clock(), clock(), clock.now_ms) == (1000.0, 1000.0, 1_000_000)
    clock.advance(0.25)
    assert (clock(), clock.now_ms) == (1000.25, 1_000_250)

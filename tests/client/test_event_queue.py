"""Tests of client/event_queue.py."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from chatify_stream import Position, UsageError
from chatify_stream.client import Event, Joined, Message
from chatify_stream.client.event_queue import EventQueue


def new_queue(**bounds: int) -> tuple[EventQueue, list[None]]:
    """Return a queue, and a list that gets a None for each taken event."""
    taken: list[None] = []
    return EventQueue(lambda: taken.append(None), **bounds), taken


def event(number: int) -> Event:
    return Joined(str(number))


def message(text: str) -> Event:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    return Message(Position("e", 1), "ada", text, "", at, is_own=False)


class TestTaking:
    async def test_in_order(self) -> None:
        """Events are taken in order, and `on_taken` is called for each."""
        queue, taken = new_queue()
        queue.put(event(1), event(2))
        queue.put(event(3))
        assert [await queue.take() for _ in range(3)] == [event(1), event(2), event(3)]
        assert len(taken) == 3
        assert len(queue) == 0

    async def test_waiting(self) -> None:
        """`take` waits for the next event."""
        queue, _ = new_queue()
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        assert not taking.done()
        queue.put(event(1), event(2))
        assert await taking == event(1)

    async def test_cancelled(self) -> None:
        """A cancelled `take` takes nothing, even if an event has just arrived."""
        queue, taken = new_queue()
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.put(event(1))
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert taken == []
        assert await queue.take() == event(1)

    async def test_two_takers(self) -> None:
        """A second waiting task raises UsageError."""
        queue, _ = new_queue()
        first = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="another task is already receiving"):
            await queue.take()
        queue.put(event(1))
        assert await first == event(1)


class TestEnd:
    async def test_in_order(self) -> None:
        """After the end, the remaining events are taken, and then always None."""
        queue, _ = new_queue()
        queue.put(event(1))
        queue.end(None)
        assert [await queue.take() for _ in range(3)] == [event(1), None, None]

    async def test_with_an_error(self) -> None:
        """An error is raised after the remaining events."""
        queue, _ = new_queue()
        queue.put(event(1))
        queue.end(KeyError("x"))
        assert await queue.take() == event(1)
        for _ in range(2):
            with pytest.raises(KeyError):
                await queue.take()

    @pytest.mark.parametrize("error", [None, KeyError("x")])
    async def test_of_one_who_waits(self, error: Exception | None) -> None:
        """The end wakes a waiting task."""
        queue, _ = new_queue()
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.end(error)
        (result,) = await asyncio.gather(taking, return_exceptions=True)
        assert result is error


class TestBounds:
    async def test_events(self) -> None:
        """The queue is full at max_events, until half of them are taken."""
        queue, _ = new_queue(max_events=4)
        queue.put(event(1), event(2), event(3))
        assert not queue.is_full
        queue.put(event(4))
        assert queue.is_full
        for is_full in (True, True, False):
            await queue.take()
            assert queue.is_full is is_full

    async def test_characters(self) -> None:
        """The queue is full at max_characters, until half of them are taken."""
        queue, _ = new_queue(max_characters=10)
        queue.put(message("abc"), message("abc"), message("abc"))
        assert not queue.is_full
        queue.put(event(1), message("d"))
        assert queue.is_full
        for is_full in (True, False):
            await queue.take()
            assert queue.is_full is is_full

    async def test_one_of_any_size(self) -> None:
        """An event of any size can be put and taken."""
        queue, _ = new_queue(max_events=1, max_characters=1)
        queue.put(message("x" * 100))
        assert queue.is_full
        await queue.take()
        assert not queue.is_full

    async def test_more_than_it_takes(self) -> None:
        """Events put into a full queue are not lost."""
        queue, _ = new_queue(max_events=1)
        queue.put(event(1))
        queue.put(event(2), event(3))
        assert [await queue.take() for _ in range(3)] == [event(1), event(2), event(3)]

    async def test_discarding(self) -> None:
        """After `discard` the queue stays empty and is never full."""
        queue, _ = new_queue(max_events=2)
        queue.put(event(1), event(2))
        queue.discard()
        assert not queue.is_full
        queue.put(event(3), event(4))
        assert len(queue) == 0
        assert not queue.is_full
        queue.end(None)
        assert await queue.take() is None

"""What the calls of one connection hold together."""

from __future__ import annotations

import asyncio
from unittest.mock import create_autospec

import pytest

from chatify_stream import Status, StatusError
from chatify_stream.wire.connection.inbox import BatchConsumer, Inbox
from chatify_stream.wire.connection.memory_budget import MemoryBudget

from ..raw import framed
from ..sources import FakeSource

LIMIT = 100


def inbox(memory_budget: MemoryBudget) -> Inbox:
    return Inbox(FakeSource(memory_budget), 1, LIMIT)


class TestWindowless:
    def test_it_counts_what_no_window_holds(self) -> None:
        """The part of a message counts; one that waits whole counts but for what it holds."""
        memory_budget = MemoryBudget()
        one = inbox(memory_budget)
        message = framed(bytes(50))
        one.add(message[:30], 30)
        assert memory_budget.uncredited_bytes == 30
        one.add(message[30:], 25)
        assert memory_budget.uncredited_bytes == 30
        assert one.next_nowait() == bytes(50)
        assert memory_budget.uncredited_bytes == 0

    def test_messages_that_come_at_once_hold_their_window(self) -> None:
        """They are bounded by it, and do not count here."""
        memory_budget = MemoryBudget()
        one = inbox(memory_budget)
        one.add(framed(b"abc") * 5, 40)
        assert memory_budget.uncredited_bytes == 0

    async def test_too_much(self) -> None:
        """The call whose part makes it too much is refused; the others go on."""
        memory_budget = MemoryBudget(max_uncredited_bytes=60)
        one, other = inbox(memory_budget), inbox(memory_budget)
        message = framed(bytes(50))
        one.add(message[:40], 40)
        other.add(message[:40], 40)
        assert memory_budget.uncredited_bytes == 40
        with pytest.raises(StatusError, match="more than 60 bytes of messages") as caught:
            await other.next()
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        one.add(message[40:], 15)
        assert await one.next() == bytes(50)

    def test_a_call_that_is_over_holds_nothing(self) -> None:
        """What has come of its message is forgotten."""
        memory_budget = MemoryBudget()
        one = inbox(memory_budget)
        one.add(framed(bytes(50))[:30], 30)
        one.unacked_size()
        assert memory_budget.uncredited_bytes == 0


class TestUnsent:
    async def test_messages_wait_while_too_much_does(self) -> None:
        """No message is given out then; each goes on once there is room, the next after it."""
        memory_budget = MemoryBudget(max_unsent=10)
        calls = [inbox(memory_budget) for _ in range(3)]
        memory_budget.add_unsent(11)
        taken: list[bytes | None] = []

        async def take(call: Inbox) -> None:
            taken.append(await call.next())
            memory_budget.add_unsent(11)

        tasks = [asyncio.create_task(take(call)) for call in calls]
        for number, call in enumerate(calls):
            call.add(framed(bytes([number])), 6)
        for number in range(3):
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(taken) == number
            memory_budget.remove_unsent(11)
        await asyncio.gather(*tasks)
        assert taken == [b"\0", b"\1", b"\2"]

    async def test_who_waits_may_be_cancelled(self) -> None:
        """The next goes on in its place, and its message stays."""
        memory_budget = MemoryBudget(max_unsent=10)
        one, other = inbox(memory_budget), inbox(memory_budget)
        memory_budget.add_unsent(11)
        for call in (one, other):
            call.add(framed(b"x"), 6)
        first, second = (asyncio.create_task(call.batch(5)) for call in (one, other))
        await asyncio.sleep(0)
        memory_budget.remove_unsent(11)
        first.cancel()
        assert await second == [b"x"]
        assert one.bytes_waiting == 6

    async def test_it_is_not_dealt_with_at_once(self) -> None:
        """A message that comes while too much waits is left to the task that has to wait."""
        memory_budget = MemoryBudget(max_unsent=10)
        source = FakeSource(memory_budget)
        call = Inbox(source, 1, LIMIT)
        call.consumer = create_autospec(BatchConsumer, instance=True)
        reading = asyncio.create_task(call.batch(5))
        await asyncio.sleep(0)
        memory_budget.add_unsent(11)
        call.add(framed(b"x"), 6)
        assert [deal() for deal in source.arrivals] == [False]
        memory_budget.remove_unsent(11)
        assert await reading == [b"x"]
        call.consumer.consume.assert_not_called()

    async def test_a_message_does_not_come_then(self) -> None:
        """What has come of it holds its window, until there is room."""
        memory_budget = MemoryBudget(max_unsent=10)
        source = FakeSource(memory_budget)
        call = Inbox(source, 1, LIMIT)
        message = framed(bytes(90))
        call.add(message[:20], 20)
        assert source.given_back == 20
        memory_budget.add_unsent(11)
        call.add(message[20:30], 10)
        call.add(message[30:40], 15)  # with padding
        assert (source.given_back, memory_budget.uncredited_bytes) == (20, 15)
        memory_budget.remove_unsent(1)
        assert (source.given_back, memory_budget.uncredited_bytes) == (45, 40)
        call.add(message[40:], 55)
        assert source.given_back == 45
        assert await call.next() == bytes(90)
        assert (source.given_back, memory_budget.uncredited_bytes) == (100, 0)

    def test_a_message_that_does_not_come_may_be_given_up(self) -> None:
        """Its window is given back by whoever asks for it, and by nobody else."""
        memory_budget = MemoryBudget(max_unsent=10)
        source = FakeSource(memory_budget)
        call = Inbox(source, 1, LIMIT)
        memory_budget.add_unsent(11)
        call.add(framed(bytes(90))[:20], 20)
        assert call.unacked_size() == 20
        assert not memory_budget._stalled
        memory_budget.remove_unsent(11)
        assert (source.given_back, memory_budget.uncredited_bytes) == (0, 0)

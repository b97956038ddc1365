"""Tests of client/sender.py, with a session that the test answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatify_stream import (
    ChatRsp,
    ClosedError,
    Position,
    RefusedError,
    Status,
    UnavailableError,
    UsageError,
)
from chatify_stream.client.room_connection import ResyncNeeded
from chatify_stream.client.sender import Sender, UnackedMessages
from chatify_stream.messages.service.v1 import ChatRspKind

from ..support.waiting import until


class FakeConnection:
    """A session that records the written messages."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.written: list[str] = []
        self.is_half_closed = False
        self.error: Exception | None = None

    async def send(self, message_id: str, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(message_id)

    async def half_close(self) -> None:
        self.is_half_closed = True


def new_sender(**bounds: int) -> Sender:
    return Sender(lambda: None, UnackedMessages(**bounds))


@asynccontextmanager
async def writing(sender: Sender) -> AsyncIterator[FakeConnection]:
    """Start a session to which the sender writes."""
    connection = FakeConnection()
    sender.begin_session()
    task = asyncio.create_task(sender.write_to(connection))
    yield connection
    task.cancel()
    await asyncio.wait([task])


def send(sender: Sender, *ids: str, text: str = "x") -> list[asyncio.Task[Position]]:
    return [asyncio.create_task(sender.send(each, text)) for each in ids]


def acknowledge(sender: Sender, message_id: str, offset: int, user: str = "ada") -> None:
    sender.read(ChatRsp(sender=user, id=message_id, offset=offset), "e", "ada")


class TestAnswers:
    async def test_acknowledged(self) -> None:
        """`send` returns the position of the sender's own copy."""
        sender = new_sender()
        async with writing(sender) as connection:
            (sending,) = send(sender, "a")
            await until(lambda: connection.written == ["a"], "it is written")
            assert sender.is_waiting
            acknowledge(sender, "a", 7)
            assert await sending == Position("e", 7)
            assert not sender.is_waiting

    async def test_refused(self) -> None:
        """A rejected `send` raises the reason; the others continue."""
        sender = new_sender()
        first, second = send(sender, "a", "b")
        await asyncio.sleep(0)
        refusal = ChatRsp(kind=ChatRspKind.REFUSED, id="a", message="no advertising")
        sender.read(refusal, "e", "ada")
        with pytest.raises(RefusedError, match="no advertising"):
            await first
        acknowledge(sender, "b", 1)
        assert await second == Position("e", 1)

    async def test_of_others(self) -> None:
        """Another user's message with the same id, or a join, acknowledges nothing."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        acknowledge(sender, "a", 1, user="grace")
        sender.read(ChatRsp(kind=ChatRspKind.JOINED, id="a", sender="ada"), "e", "ada")
        acknowledge(sender, "b", 2)
        acknowledge(sender, "a", 3)
        assert await sending == Position("e", 3)

    async def test_of_nobody_known(self) -> None:
        """If the user is unknown, the id decides."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        sender.read(ChatRsp(sender="ada", id="a", offset=1), "e", None)
        assert await sending == Position("e", 1)

    async def test_twice(self) -> None:
        """A repeated acknowledgement has no effect."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        acknowledge(sender, "a", 1)
        acknowledge(sender, "a", 2)
        assert await sending == Position("e", 1)
        acknowledge(sender, "a", 3)

    async def test_an_id_in_use(self) -> None:
        """An id cannot be sent while it waits for its acknowledgement, but afterwards."""
        sender = new_sender()
        (first,) = send(sender, "a")
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="'a' is already waiting for its acknowledgement"):
            await sender.send("a", "x")
        acknowledge(sender, "a", 1)
        with pytest.raises(UsageError):  # the first has not returned yet
            await sender.send("a", "x")
        await first
        (second,) = send(sender, "a")
        await asyncio.sleep(0)
        acknowledge(sender, "a", 1)
        assert await second == Position("e", 1)


class TestSessions:
    async def test_again(self) -> None:
        """The next session gets the unacknowledged messages in order, with their ids."""
        sender = new_sender()
        async with writing(sender) as connection:
            sends = send(sender, "a", "b", "c")
            await until(lambda: connection.written == ["a", "b", "c"], "they are written")
            acknowledge(sender, "b", 1)
        sends += send(sender, "d")
        async with writing(sender) as connection:
            await until(lambda: connection.written == ["a", "c", "d"], "they are written")
            for offset, message_id in enumerate("acd", 2):
                acknowledge(sender, message_id, offset)
        assert [each.offset for each in await asyncio.gather(*sends)] == [2, 1, 3, 4]

    async def test_not_before_it_has_caught_up(self) -> None:
        """Nothing is written before the session has caught up, which may acknowledge messages."""
        sender = new_sender()
        sends = send(sender, "a", "b")
        async with writing(sender) as connection:
            connection.caught_up.clear()
            for _ in range(10):
                await asyncio.sleep(0)
            assert connection.written == []
            acknowledge(sender, "a", 1)
            connection.caught_up.set()
            await until(lambda: connection.written == ["b"], "it is written")
            acknowledge(sender, "b", 2)
        await asyncio.gather(*sends)

    @pytest.mark.parametrize(
        "error",
        [
            UnavailableError(Status.UNAVAILABLE, "lost"),
            ClosedError("the server has ended the call"),
            ResyncNeeded(),
        ],
    )
    async def test_a_session_that_ends(self, error: Exception) -> None:
        """A message whose write failed is written to the next session."""
        sender = new_sender()
        connection = FakeConnection()
        connection.error = error
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        sender.begin_session()
        await sender.write_to(connection)
        async with writing(sender) as connection:
            await until(lambda: connection.written == ["a"], "it is written")
            acknowledge(sender, "a", 1)
        await sending


class TestCancelling:
    async def test_not_written(self) -> None:
        """A message whose `send` is cancelled before the write is not written."""
        sender = new_sender()
        sends = send(sender, "a", "b", "c")
        await asyncio.sleep(0)
        sends[1].cancel()
        await asyncio.wait([sends[1]])
        async with writing(sender) as connection:
            await until(lambda: connection.written == ["a", "c"], "they are written")
            acknowledge(sender, "a", 1)
            acknowledge(sender, "c", 2)
        await asyncio.gather(sends[0], sends[2])

    async def test_written(self) -> None:
        """A written message whose `send` is cancelled is not written again."""
        sender = new_sender()
        async with writing(sender) as connection:
            (sending,) = send(sender, "a")
            await until(lambda: connection.written, "it is written")
            sending.cancel()
            await asyncio.wait([sending])
        async with writing(sender) as connection:
            (other,) = send(sender, "b")
            await until(lambda: connection.written == ["b"], "it is written")
            acknowledge(sender, "a", 1)
            acknowledge(sender, "b", 2)
        assert (await other).offset == 2

    async def test_while_it_waits_for_room(self) -> None:
        """A `send` cancelled while it waits lets the next one in."""
        sender = new_sender(max_messages=1)
        first, second, third = send(sender, "a", "b", "c")
        async with writing(sender) as connection:
            await until(lambda: connection.written == ["a"], "it is written")
            second.cancel()
            acknowledge(sender, "a", 1)
            await until(lambda: connection.written == ["a", "c"], "it is written")
            acknowledge(sender, "c", 2)
        await asyncio.gather(first, third)
        assert second.cancelled()


class TestBounds:
    async def test_in_line(self) -> None:
        """Sends wait while too many are unacknowledged, and are admitted in order."""
        sender = new_sender(max_messages=2)
        ids = [f"{number:02}" for number in range(20)]
        sends = send(sender, *ids)
        async with writing(sender) as connection:
            for offset, message_id in enumerate(ids, 1):
                await until(lambda: message_id in connection.written, "the next is written")  # noqa: B023
                for _ in range(10):
                    await asyncio.sleep(0)
                assert len(connection.written) <= offset + 1
                acknowledge(sender, message_id, offset)
            assert connection.written == ids
        assert [position.offset for position in await asyncio.gather(*sends)] == list(range(1, 21))

    async def test_by_size(self) -> None:
        """Sends wait while too many characters are unacknowledged."""
        sender = new_sender(max_characters=3)
        sends = send(sender, "a", "b", text="xx")
        async with writing(sender) as connection:
            await until(lambda: connection.written == ["a"], "the first is written")
            acknowledge(sender, "a", 1)
            await until(lambda: connection.written == ["a", "b"], "the second is written")
            acknowledge(sender, "b", 2)
        await asyncio.gather(*sends)


class TestEnd:
    async def test_closing(self) -> None:
        """After `close`, the session is half-closed when everything is answered."""
        sender = new_sender(max_messages=1)
        async with writing(sender) as connection:
            sends = send(sender, "a", "b")
            await until(lambda: connection.written == ["a"], "it is written")
            sender.close()
            with pytest.raises(ClosedError, match="half_close"):
                await sender.send("c", "x")
            settling = asyncio.create_task(sender.settled())
            acknowledge(sender, "a", 1)
            await until(lambda: connection.written == ["a", "b"], "what waited is written")
            assert not connection.is_half_closed
            assert not settling.done()
            acknowledge(sender, "b", 2)
            await settling
            await until(lambda: connection.is_half_closed, "it is half-closed")
        await asyncio.gather(*sends)

    async def test_closing_with_nothing_sent(self) -> None:
        """After `close`, an idle session is half-closed at once."""
        sender = new_sender()
        async with writing(sender) as connection:
            sender.close()
            await sender.settled()
            await until(lambda: connection.is_half_closed, "it is half-closed")

    async def test_an_error(self) -> None:
        """Every `send` raises the final error, also while it waits to be admitted."""
        sender = new_sender(max_messages=1)
        sends = send(sender, "a", "b", "c")
        await asyncio.sleep(0)
        error = UnavailableError(Status.UNAVAILABLE, "lost")
        sender.end(error)
        assert await asyncio.gather(*sends, return_exceptions=True) == [error] * 3
        with pytest.raises(UnavailableError, match="lost"):
            await sender.send("d", "x")
        await sender.settled()

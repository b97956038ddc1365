"""Tests of client/sending.py, with a session that a test answers by hand."""

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
from chatify_stream.client.sender import Sender
from chatify_stream.client.unacked import UnackedMessages
from chatify_stream.messages.service.v1 import ChatRspKind

from ..support.waiting import until


class FakeConnection:
    """A session that keeps what is written."""

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
    """A session that the sender writes to."""
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
        """A send returns the position that the own copy has."""
        sender = new_sender()
        async with writing(sender) as connection:
            (sending,) = send(sender, "a")
            await until(lambda: connection.written == ["a"], "it is written")
            assert sender.is_waiting
            acknowledge(sender, "a", 7)
            assert await sending == Position("e", 7)
            assert not sender.is_waiting

    async def test_refused(self) -> None:
        """A send that is refused raises the reason; those beside it go on."""
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
        """The same id of another user is another message, and so is a join."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        acknowledge(sender, "a", 1, user="grace")
        sender.read(ChatRsp(kind=ChatRspKind.JOINED, id="a", sender="ada"), "e", "ada")
        acknowledge(sender, "b", 2)
        acknowledge(sender, "a", 3)
        assert await sending == Position("e", 3)

    async def test_of_nobody_known(self) -> None:
        """Where the user is not known, the id decides."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        sender.read(ChatRsp(sender="ada", id="a", offset=1), "e", None)
        assert await sending == Position("e", 1)

    async def test_twice(self) -> None:
        """An answer that comes twice counts once."""
        sender = new_sender()
        (sending,) = send(sender, "a")
        await asyncio.sleep(0)
        acknowledge(sender, "a", 1)
        acknowledge(sender, "a", 2)
        assert await sending == Position("e", 1)
        acknowledge(sender, "a", 3)

    async def test_an_id_in_use(self) -> None:
        """An id whose message waits cannot be sent again; later it can."""
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
        """Another session gets what is not acknowledged, in order, with the same ids."""
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
        """Nothing is written before all has come that was missed, which may acknowledge it."""
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
        """What could not be written is written to the next session."""
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
        """A message whose send is cancelled before it was written is not written."""
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
        """One that was written is not written again, and its acknowledgement is nobody's."""
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
        """One that was not let in yet makes place for the next in line."""
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
        """Sends wait while too many are not acknowledged, and are let in in their order."""
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
        """So it is with too many characters."""
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
        """Once it is closed, and all is answered, the session is half-closed."""
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
        """Where nothing waits that is at once."""
        sender = new_sender()
        async with writing(sender) as connection:
            sender.close()
            await sender.settled()
            await until(lambda: connection.is_half_closed, "it is half-closed")

    async def test_an_error(self) -> None:
        """What ends the chat is raised by each send, those included that wait for room."""
        sender = new_sender(max_messages=1)
        sends = send(sender, "a", "b", "c")
        await asyncio.sleep(0)
        error = UnavailableError(Status.UNAVAILABLE, "lost")
        sender.end(error)
        assert await asyncio.gather(*sends, return_exceptions=True) == [error] * 3
        with pytest.raises(UnavailableError, match="lost"):
            await sender.send("d", "x")
        await sender.settled()

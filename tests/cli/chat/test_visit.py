"""A visit to a room: its start position, its events, and the saved position."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from chatify_stream import ChatServer, Retention, RoomOptions
from chatify_stream.cli.chat.visit import MAX_BATCH, ChatOptions, Visit
from chatify_stream.client import Connected, Event, Gap, Message, Reconnecting
from chatify_stream.config import ClientSettings
from chatify_stream.errors import CallError, DeadlineExceededError, UsageError

from ...ports import free_port

KEPT = 5


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    """A server whose rooms store five messages."""
    async with ChatServer(rooms=RoomOptions(retention=Retention(KEPT, 3600.0))) as server:
        await server.start("127.0.0.1", 0)
        yield server


class Visitor:
    """The user ada, who visits the room lobby of a server."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder

    def visit(self, *, history: int = 20, is_fresh: bool = False, **settings: object) -> Visit:
        client = ClientSettings(target=f"127.0.0.1:{self._port}", **settings)  # type: ignore[arg-type]
        return Visit(
            ChatOptions("ada", history, is_fresh, self._folder, client), "lobby", presence=False
        )

    async def reads(self, count: int, **options: bool | int) -> list[str]:
        """Return the texts of one visit, which ends after this number of messages."""
        async with self.visit(**options) as visit, aclosing(visit.batches()) as batches:
            shown: list[Event] = []
            while len(texts(shown)) < count or not shown:
                batch = await anext(batches)
                shown += batch
                visit.save_position(batch)
            return texts(shown)


@pytest.fixture
def ada(server: ChatServer, tmp_path: Path) -> Visitor:
    return Visitor(server.port, tmp_path)


async def say(server: ChatServer, *said: str) -> None:
    for text in said:
        await server.rooms.publish("lobby", "grace", text)


def texts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


async def test_first_visit(server: ChatServer, ada: Visitor) -> None:
    """The first visit starts with the requested number of newest messages."""
    await say(server, *"abcde")
    assert await ada.reads(3, history=3) == ["c", "d", "e"]


async def test_next_visit(server: ChatServer, ada: Visitor) -> None:
    """The next visit starts after the last message that was shown."""
    await say(server, *"abc")
    assert await ada.reads(3) == ["a", "b", "c"]
    await say(server, *"de")
    assert await ada.reads(2) == ["d", "e"]


async def test_first_visit_of_an_empty_room(server: ChatServer, ada: Visitor) -> None:
    """A user who visited the empty room has missed all later messages."""
    assert await ada.reads(0, history=2) == []
    await say(server, *"abcd")
    assert await ada.reads(4, history=2) == ["a", "b", "c", "d"]


async def test_first_visit_without_history(server: ChatServer, ada: Visitor) -> None:
    """Without history, the visit starts at the newest position."""
    await say(server, *"ab")
    assert await ada.reads(0, history=0) == []
    await say(server, *"cd")
    assert await ada.reads(2) == ["c", "d"]


async def test_not_shown(server: ChatServer, ada: Visitor) -> None:
    """A message that was received but perhaps not shown is delivered again."""
    await say(server, *"abc")
    assert await ada.reads(3) == ["a", "b", "c"]
    await say(server, "d")
    async with ada.visit() as visit, aclosing(visit.batches()) as batches:
        while not texts(await anext(batches)):
            pass
    assert await ada.reads(1) == ["d"]


async def test_fresh(server: ChatServer, ada: Visitor) -> None:
    """A fresh visit starts like the first one, and its position is saved."""
    await say(server, *"abc")
    assert await ada.reads(3) == ["a", "b", "c"]
    assert await ada.reads(2, history=2, is_fresh=True) == ["b", "c"]
    await say(server, "d")
    assert await ada.reads(1) == ["d"]


async def test_too_much_missed(server: ChatServer, ada: Visitor) -> None:
    """A user who missed more than the room stores gets the count of lost messages and the rest."""
    await say(server, *"ab")
    assert await ada.reads(2) == ["a", "b"]
    await say(server, *"cdefghijk")
    async with ada.visit() as visit, aclosing(visit.batches()) as batches:
        shown: list[Event] = []
        while len(texts(shown)) < KEPT:
            shown += await anext(batches)
        connected, gap, *messages = shown
        visit.save_position(shown[:2])
    assert isinstance(connected, Connected)
    assert isinstance(gap, Gap)
    assert (gap.expected.offset, gap.newest.offset) == (3, 6)
    assert texts(messages) == ["g", "h", "i", "j", "k"]
    assert await ada.reads(KEPT) == ["g", "h", "i", "j", "k"]


async def test_another_log(server: ChatServer, ada: Visitor) -> None:
    """After a reset of the room, the visit reports it and shows all stored messages."""
    await say(server, *"abc")
    assert await ada.reads(3) == ["a", "b", "c"]
    port = server.port
    await server.close()
    async with ChatServer() as other:
        await other.start("127.0.0.1", port)
        await say(other, "x")
        async with ada.visit() as visit, aclosing(visit.batches()) as batches:
            shown: list[Event] = []
            while not texts(shown):
                shown += await anext(batches)
            visit.save_position(shown)
        _, gap, *messages = shown
        assert isinstance(gap, Gap)
        assert gap.expected.epoch != gap.newest.epoch
        assert texts(messages) == ["x"]
        await say(other, "y")
        assert await ada.reads(1) == ["y"]


async def test_batches(tmp_path: Path) -> None:
    """Many messages are delivered in few batches of limited size, in order."""
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        said = [f"{number}" for number in range(3 * MAX_BATCH)]
        await say(server, *said)
        shown: list[str] = []
        visit = Visitor(server.port, tmp_path).visit(history=len(said))
        async with visit, aclosing(visit.batches()) as batches:
            while len(shown) < len(said):
                batch = await anext(batches)
                assert len(batch) <= MAX_BATCH
                shown += texts(batch)
    assert shown == said


async def test_end(server: ChatServer, ada: Visitor) -> None:
    """The batches end with the chat, after all earlier events."""
    await say(server, *"ab")
    async with ada.visit() as visit:
        await visit.chat.half_close()
        shown = [text async for batch in visit.batches() for text in texts(batch)]
    assert shown == ["a", "b"]


async def test_ended_by_the_server(server: ChatServer, ada: Visitor) -> None:
    """A permanent end raises an error, after all earlier events."""
    await say(server, *"ab")
    shown: list[str] = []
    async with ada.visit() as visit:
        async with aclosing(visit.batches()) as batches:
            shown += texts(await anext(batches))
            while len(shown) < 2:
                shown += texts(await anext(batches))
            server.rooms.disconnect("ada", reason="enough", reconnect=False)
            with pytest.raises(CallError, match="disconnected: enough"):
                await anext(batches)
    assert shown == ["a", "b"]


async def test_server_stays_away(server: ChatServer, ada: Visitor) -> None:
    """Without the server, the visit ends after the timeout with the last error."""
    async with ada.visit(timeout=0.5) as visit, aclosing(visit.batches()) as batches:
        await anext(batches)
        await server.close()
        seen: list[Event] = []
        with pytest.raises(
            DeadlineExceededError, match=r"no connection to the server for 0.5 s: UNAVAIL"
        ):
            async for batch in batches:
                seen += batch
        assert seen
        assert all(isinstance(event, Reconnecting) for event in seen)
        await visit.close()


async def test_server_comes_back(server: ChatServer, ada: Visitor) -> None:
    """The timeout restarts with each lost connection."""
    async with ada.visit(timeout=30.0) as visit, aclosing(visit.batches()) as batches:
        await anext(batches)
        port = server.port
        for _ in range(2):
            await server.close()
            async with ChatServer() as server:
                await server.start("127.0.0.1", port)
                while not any(isinstance(event, Connected) for event in await anext(batches)):
                    pass


async def test_no_server(tmp_path: Path) -> None:
    """A server that cannot be reached fails the visit, or is waited for until the timeout."""
    nobody = Visitor(free_port(), tmp_path)
    with pytest.raises(CallError, match="cannot connect to"):
        async with nobody.visit():
            pass
    with pytest.raises(DeadlineExceededError, match=r"no connection to the server for 0.2 s$"):
        async with nobody.visit(timeout=0.2, wait_for_ready=True):
            pass


@pytest.mark.parametrize(("room", "user"), [("", "ada"), ("lobby", ""), ("lobby", "a\x1b")])
def test_names(tmp_path: Path, room: str, user: str) -> None:
    """Invalid names are rejected immediately."""
    options = ChatOptions(user, 20, False, tmp_path, ClientSettings())
    with pytest.raises(UsageError, match=r"the (room|user) name"):
        Visit(options, room, presence=False)


async def test_nowhere_to_remember(
    server: ChatServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the position cannot be saved, one warning is logged and the visit works."""
    file = tmp_path / "file"
    file.write_text("")
    await say(server, *"ab")
    with caplog.at_level(logging.WARNING):
        assert await Visitor(server.port, file).reads(2) == ["a", "b"]
    [record] = caplog.records
    assert record.getMessage() == (
        f"{file}: cannot save or read the position in the room: Not a directory"
    )


async def test_left_while_waiting(server: ChatServer, ada: Visitor) -> None:
    """A visit can be left at any moment; nothing of it goes on."""
    before = asyncio.all_tasks()
    async with ada.visit() as visit:
        batches = visit.batches()
        await anext(batches)
        reading = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
    assert asyncio.all_tasks() <= before | {reading}

"""The calls of the Rooms service, page by page, on servers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatify_stream import ChatServer, Status, StatusError
from chatify_stream.cli.exit_codes import CommandError
from chatify_stream.cli.rooms_api import MessageEntry, RoomEntry, RoomsClient, connect_rooms
from chatify_stream.config import ClientSettings
from chatify_stream.messages.chatify.rooms.v1 import (
    HistoryRequest,
    HistoryResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    Message,
    Position,
    PresenceRequest,
    PublishRequest,
    PublishResponse,
    RoomInfo,
    RoomsBase,
)
from chatify_stream.rooms import Retention
from chatify_stream.rooms.position import Position as Place
from chatify_stream.server import RoomOptions

from ..ports import free_port
from ..server.talking import serving

START = Place("", 0)


@asynccontextmanager
async def calls_of(server: ChatServer, **settings: Any) -> AsyncIterator[RoomsClient]:
    target = f"127.0.0.1:{server.port}"
    async with connect_rooms(ClientSettings(target=target, **settings)) as calls:
        yield calls


@asynccontextmanager
async def rooms_server(**options: Any) -> AsyncIterator[tuple[ChatServer, RoomsClient]]:
    async with serving(rooms=RoomOptions(service=True, **options)) as server:
        async with calls_of(server) as calls:
            yield server, calls


async def pages_of(pages: AsyncIterator[Sequence[Any]]) -> list[list[Any]]:
    return [list(page) async for page in pages]


async def offsets_of(pages: AsyncIterator[Sequence[MessageEntry]]) -> list[int]:
    return [entry.offset async for page in pages for entry in page]


async def say(server: ChatServer, number: int, text: str = "x") -> str:
    """Publish this number of messages, and return the epoch."""
    for _ in range(number):
        position = await server.rooms.publish("a", "Ada", text)
    return position.epoch


class TestRooms:
    async def test_all(self) -> None:
        """2,500 rooms are returned once each, in order, in pages of maximum size."""
        names = [f"房间 {n:04}" for n in range(2500)]
        async with rooms_server() as (server, calls):
            positions = [await server.rooms.publish(name, "Ada", "x") for name in names]
            pages = await pages_of(calls.rooms("", None))
        assert list(map(len, pages)) == [1000, 1000, 500]
        assert [entry for page in pages for entry in page] == [
            RoomEntry(name, 0, *position) for name, position in zip(names, positions, strict=True)
        ]

    @pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 1010, 2000])
    async def test_limit(self, limit: int) -> None:
        """A limit holds across pages."""
        names = [f"{n:04}" for n in range(1010)]
        async with rooms_server() as (server, calls):
            for name in names:
                await server.rooms.publish(name, "Ada", "x")
            pages = await pages_of(calls.rooms("", limit))
        assert [entry.name for page in pages for entry in page] == names[:limit]

    async def test_prefix(self) -> None:
        """A prefix holds."""
        async with rooms_server() as (server, calls):
            for name in ("a", "b1", "b2"):
                await server.rooms.publish(name, "Ada", "x")
            [page] = await pages_of(calls.rooms("b", None))
        assert [entry.name for entry in page] == ["b1", "b2"]

    async def test_none(self) -> None:
        """Without rooms there is one empty page."""
        async with rooms_server() as (_, calls):
            assert await pages_of(calls.rooms("", None)) == [[]]


class TestHistory:
    @pytest.mark.parametrize("limit", [1, 1000, 1001, 2000, 2500, 2501, None])
    async def test_both_ways(self, limit: int | None) -> None:
        """A history of several pages is complete up to its limit, in both orders."""
        async with rooms_server() as (server, calls):
            await say(server, 2500)
            forwards = await offsets_of(calls.history_after("a", START, limit))
            backwards = await offsets_of(calls.history_before("a", 0, limit))
        every = list(range(1, 2501))
        assert forwards == every[:limit]
        assert backwards == every[::-1][:limit]

    async def test_from_a_place(self) -> None:
        """A history starts after a position with or without epoch, or before one."""
        async with rooms_server() as (server, calls):
            epoch = await say(server, 1500)
            for place in (Place("", 100), Place(epoch, 100)):
                assert await offsets_of(calls.history_after("a", place, None)) == list(
                    range(101, 1501)
                )
            got = await offsets_of(calls.history_before("a", 1400, None))
        assert got == list(range(1399, 0, -1))

    async def test_what_an_entry_is(self) -> None:
        """An entry has all that the server tells of a message."""
        async with rooms_server() as (server, calls):
            position = await server.rooms.publish("a", "小明", "你好", id="1")
            [[entry]] = await pages_of(calls.history_after("a", START, None))
            [publication] = (await server.rooms.history("a")).publications
        ms = publication.sent_at_ms
        assert entry == MessageEntry(position.epoch, 1, ms, "小明", "你好", "1")

    async def test_short_pages(self) -> None:
        """Pages that the server ends early, for the size of the texts, lose nothing."""
        async with rooms_server() as (server, calls):
            await say(server, 50, "x" * 65536)
            pages = await pages_of(calls.history_after("a", START, None))
            back = await offsets_of(calls.history_before("a", 0, None))
            limited = await offsets_of(calls.history_after("a", START, 40))
        assert len(pages) > 1
        assert [entry.offset for page in pages for entry in page] == list(range(1, 51))
        assert back == list(range(50, 0, -1))
        assert limited == list(range(1, 41))

    async def test_dropped(self) -> None:
        """Messages dropped by retention are omitted; after a position it is an error."""
        async with rooms_server(retention=Retention(count=3)) as (server, calls):
            epoch = await say(server, 10)
            assert await offsets_of(calls.history_after("a", Place("", 1), None)) == [8, 9, 10]
            assert await offsets_of(calls.history_before("a", 0, None)) == [10, 9, 8]
            with pytest.raises(StatusError) as caught:
                await offsets_of(calls.history_after("a", Place(epoch, 1), None))
        assert caught.value.status is Status.OUT_OF_RANGE

    async def test_empty(self) -> None:
        """A room without messages has one empty page, in both orders."""
        async with rooms_server() as (_, calls):
            assert await pages_of(calls.history_after("a", START, None)) == [[]]
            assert await pages_of(calls.history_before("a", 0, None)) == [[]]


class Scripted(RoomsBase):
    """Answers in the order of the test, and records the requests."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[Any] = []

    async def _answer(self, message: Any) -> Any:
        self.asked.append(message)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    history = list_rooms = presence = publish = disconnect = _answer


@asynccontextmanager
async def scripted(*answers: Any) -> AsyncIterator[tuple[Scripted, RoomsClient]]:
    service = Scripted(*answers)
    async with serving(services=[service]) as server, calls_of(server) as calls:
        yield service, calls


def page(epoch: str, newest: int, *offsets: int, oldest: int = 1) -> HistoryResponse:
    return HistoryResponse(
        messages=[Message(offset=offset) for offset in offsets],
        newest=Position(epoch=epoch, offset=newest),
        oldest_offset=oldest,
    )


class TestMeanwhile:
    async def test_new_messages(self) -> None:
        """A history ends with the message that was newest at its start."""
        answers = (page("e", 3, 1, 2), page("e", 9, 3, 4, 5))
        async with scripted(*answers) as (service, calls):
            assert await offsets_of(calls.history_after("a", START, None)) == [1, 2, 3]
        assert service.asked == [
            HistoryRequest(room="a", limit=1000, after=Position()),
            HistoryRequest(room="a", limit=1000, after=Position(epoch="e", offset=2)),
        ]

    async def test_dropped_meanwhile(self) -> None:
        """The next page is asked for with the epoch, so that none may be missing before it."""
        gone = StatusError(Status.OUT_OF_RANGE, "gone")
        async with scripted(page("e", 3, 1, 2), gone) as (_, calls):
            got = []
            with pytest.raises(StatusError, match="gone"):
                async for entries in calls.history_after("a", START, None):
                    got += [entry.offset for entry in entries]
        assert got == [1, 2]

    async def test_dropped_backwards(self) -> None:
        """Backwards, a history ends where messages were dropped meanwhile."""
        answers = (page("e", 9, 9, 8), page("e", 12, oldest=10))
        async with scripted(*answers) as (service, calls):
            assert await offsets_of(calls.history_before("a", 0, None)) == [9, 8]
        assert service.asked[1] == HistoryRequest(room="a", limit=1000, backwards=True, before=8)

    async def test_reset_backwards(self) -> None:
        """A log that was reset meanwhile is an error: its offsets are other messages."""
        answers = (page("e", 9, 9, 8), page("\x1b[2J", 9, 7, 6))
        async with scripted(*answers) as (_, calls):
            got = []
            with pytest.raises(CommandError) as caught:
                async for entries in calls.history_before("a", 0, None):
                    got += [entry.offset for entry in entries]
        assert got == [9, 8]
        assert caught.value.exit_code == 5
        assert caught.value.message == (
            "the history of the room was lost or reset while it was read; its epoch is now \\x1b[2J"
        )

    async def test_limit_of_the_last_page(self) -> None:
        """The last page asks only for the remaining entries."""
        first = ListRoomsResponse(
            rooms=[RoomInfo(name=str(n), newest=Position()) for n in range(1000)],
            next_page_token="t",
        )
        last = ListRoomsResponse(rooms=[RoomInfo(name="z", newest=Position())])
        async with scripted(first, last) as (service, calls):
            await pages_of(calls.rooms("p", 1001))
        assert service.asked == [
            ListRoomsRequest(prefix="p", page_size=1000),
            ListRoomsRequest(prefix="p", page_size=1, page_token="t"),
        ]


class TestErrors:
    async def test_escapes(self) -> None:
        """Text of the server in an error is escaped, and stays in one line."""
        error = StatusError(Status.NOT_FOUND, "没有\n\x1b[31mred")
        with pytest.raises(CommandError) as caught:
            async with scripted(error) as (_, calls):
                await calls.presence(PresenceRequest(room="a", count_only=True))
        assert (caught.value.message, caught.value.exit_code) == (
            "NOT_FOUND: 没有\\x0a\\x1b[31mred",
            5,
        )

    async def test_not_turned_on(self) -> None:
        """The error for a server without the service states the fix."""
        async with serving() as server:
            target = f"127.0.0.1:{server.port}"
            with pytest.raises(CommandError) as caught:
                async with calls_of(server) as calls:
                    await calls.presence(PresenceRequest(room="a"))
        assert caught.value.exit_code == 5
        assert caught.value.message == (
            f"{target}: the Rooms service is not enabled; start the server with --rooms-service "
            "(if it uses --rooms-port, pass that port in --target)"
        )

    @pytest.mark.parametrize("answer", [PublishResponse(), PublishResponse(duplicate=True)])
    async def test_no_position(self, answer: PublishResponse) -> None:
        """A response without a position is an error."""
        with pytest.raises(CommandError) as caught:
            async with scripted(answer) as (service, calls):
                await calls.publish_text("a", "Ada", "x", "1")
        assert (caught.value.message, caught.value.exit_code) == (
            "INTERNAL: the response of the server has no position",
            5,
        )
        assert service.asked == [PublishRequest(room="a", user="Ada", text="x", id="1")]

    async def test_timeout_of_each_call(self) -> None:
        """The timeout applies to each call."""

        class Silent(Scripted):
            async def _answer(self, message: Any) -> Any:
                await asyncio.Event().wait()

            presence = _answer

        async with serving(services=[Silent()]) as server:
            with pytest.raises(CommandError) as caught:
                async with calls_of(server, timeout=0.2) as calls:
                    await calls.presence(PresenceRequest(room="a"))
        assert caught.value.exit_code == 3

    async def test_no_server(self) -> None:
        """A server that cannot be reached is an immediate error ..."""
        target = f"127.0.0.1:{free_port()}"
        with pytest.raises(CommandError) as caught:
            async with connect_rooms(ClientSettings(target=target)) as calls:
                await calls.presence(PresenceRequest(room="a"))
        assert caught.value.exit_code == 4
        assert "Connection refused" in caught.value.message

    async def test_wait_for_ready(self) -> None:
        """... unless it is waited for."""
        port = free_port()
        settings = ClientSettings(target=f"127.0.0.1:{port}", wait_for_ready=True)
        async with connect_rooms(settings) as calls:
            asking = asyncio.create_task(calls.presence(PresenceRequest(room="a")))
            await asyncio.sleep(0)
            async with ChatServer(rooms=RoomOptions(service=True)) as server:
                await server.start("127.0.0.1", port)
                assert (await asking).users == []

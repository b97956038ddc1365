"""Tests of server/rooms/api.py: `server.rooms`, for the program that embeds the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chatify_stream import ChatServer, ClosedError, RefusedError, RoomOptions, UsageError
from chatify_stream.errors import TooLargeError
from chatify_stream.rooms import Outcome, Retention
from chatify_stream.server.rooms import Rooms
from chatify_stream.server.rooms.api import MAX_REASON_LENGTH

from .membership import room_server

NO_NUMBERS = [0, -1, 1.0, "1", True, None, 2**63]


@pytest.fixture
async def rooms() -> AsyncIterator[Rooms]:
    async with room_server(retention=Retention(count=5)) as server:
        yield server.rooms


class TestPublishing:
    async def test_a_message(self, rooms: Rooms) -> None:
        """A published message is in the log at the returned position."""
        first = await rooms.publish("lobby", "bot", "a")
        second = await rooms.publish("lobby", "bot", "b", id="1")
        assert (first.offset, second.offset, first.epoch) == (1, 2, second.epoch)
        page = await rooms.history("lobby")
        assert page.newest == second
        assert [(p.user, p.text, p.id) for p in page.publications] == [
            ("bot", "a", ""),
            ("bot", "b", "1"),
        ]
        assert rooms.statistics().messages_published == 2

    async def test_the_same_again(self, rooms: Rooms) -> None:
        """An id is published once; a duplicate has the first position, another text is an error."""
        first = await rooms.publish("lobby", "bot", "a", id="1")
        assert await rooms.publish("lobby", "bot", "a", id="1") == first
        assert (await rooms.publish("lobby", "Bot", "a", id="1")).offset == 2
        with pytest.raises(RefusedError) as caught:
            await rooms.publish("lobby", "bot", "b", id="1")
        assert caught.value.reason == (
            "the id '1' was published with another text, at offset 1; a new message needs a new id"
        )
        outcomes = [
            (await rooms.publish_once("lobby", "bot", text, message_id)).outcome
            for text, message_id in (("a", "1"), ("b", "1"), ("a", ""))
        ]
        assert outcomes == [Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.PUBLISHED]
        assert rooms.statistics().messages_published == 3

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("", "bot", "a"), "the room name is empty; use 1 to 128 characters"),
            (("x" * 129, "bot", "a"), "the room name has 129 characters; at most 128 are allowed"),
            (("lobby", "\n", "a"), "has the control character U+000A, which is not allowed"),
            (("lobby", "bot", "a\ud800"), "the text is not valid Unicode"),
            (("lobby", "bot", b"a"), "text: b'a' is not a str"),
            (("lobby", "bot", None), "text: None is not a str"),
            ((5, "bot", "a"), "5 is not a str"),
            (("lobby", None, "a"), "None is not a str"),
        ],
    )
    async def test_wrong_arguments(
        self, rooms: Rooms, arguments: tuple[str, str, str], why: str
    ) -> None:
        """Invalid names and texts raise UsageError, and nothing is published."""
        with pytest.raises(UsageError) as caught:
            await rooms.publish(*arguments)
        assert why in str(caught.value)
        assert (await rooms.list()).rooms == []

    @pytest.mark.parametrize(
        ("message_id", "why"),
        [
            ("x" * 129, "the id of the message has 129 characters; at most 128 are allowed"),
            ("\ud800", "the id of the message is not valid Unicode"),
            (None, "None is not a str"),
            (5, "5 is not a str"),
        ],
    )
    async def test_wrong_ids(self, rooms: Rooms, message_id: str, why: str) -> None:
        """Invalid ids raise UsageError."""
        with pytest.raises(UsageError) as caught:
            await rooms.publish("lobby", "bot", "a", id=message_id)
        assert why in str(caught.value)
        assert (await rooms.list()).rooms == []

    async def test_the_limit(self, rooms: Rooms) -> None:
        """The size limit of a text counts bytes."""
        await rooms.publish("lobby", "bot", "x" * 65_536)
        with pytest.raises(TooLargeError) as caught:
            await rooms.publish("lobby", "bot", "界" * 21_846)
        assert str(caught.value) == "the text has 65538 bytes; at most 65536 are allowed in a room"


class TestHistory:
    async def publish(self, rooms: Rooms) -> None:
        for number in range(1, 9):
            await rooms.publish("lobby", "bot", str(number))

    @pytest.mark.parametrize(
        ("asked", "offsets"),
        [
            ({}, [4, 5, 6, 7, 8]),
            ({"limit": 2}, [4, 5]),
            ({"limit": 2, "newest": True}, [7, 8]),
            ({"after": 5}, [6, 7, 8]),
            ({"after": 5, "limit": 1}, [6]),
            ({"after": 8}, []),
            ({"after": 2**63 - 1}, []),
            ({"before": 6}, [4, 5]),
            ({"before": 6, "limit": 1, "newest": True}, [5]),
            ({"before": 4}, []),
            ({"before": 0}, []),
            ({"after": 5, "before": 7}, [6]),
            ({"after": 7, "before": 5}, []),
            ({"limit": 2**63 - 1}, [4, 5, 6, 7, 8]),
        ],
    )
    async def test_a_part(self, rooms: Rooms, asked: dict[str, int], offsets: list[int]) -> None:
        """`history` returns stored messages between two offsets, the oldest or the newest first."""
        await self.publish(rooms)
        page = await rooms.history("lobby", **asked)
        assert [publication.offset for publication in page.publications] == offsets
        assert (page.newest.offset, page.oldest) == (8, 4)

    async def test_of_a_room_that_nobody_has_used(self, rooms: Rooms) -> None:
        """An unused room has an epoch and no messages."""
        page = await rooms.history("attic")
        assert (page.newest.offset, page.oldest, page.publications) == (0, 1, [])
        assert page.newest.epoch

    @pytest.mark.parametrize("limit", NO_NUMBERS)
    async def test_limits_that_are_none(self, rooms: Rooms, limit: int) -> None:
        for asked in (rooms.history("lobby", limit=limit), rooms.list(limit=limit)):
            with pytest.raises(UsageError) as caught:
                await asked
            assert str(caught.value) == f"limit: {limit!r} is not a whole number of at least 1"

    @pytest.mark.parametrize("name", ["after", "before"])
    @pytest.mark.parametrize("offset", [-1, 1.0, "1", True, 2**63])
    async def test_offsets_that_are_none(self, rooms: Rooms, name: str, offset: int) -> None:
        with pytest.raises(UsageError) as caught:
            await rooms.history("lobby", **{name: offset})
        assert str(caught.value) == f"{name}: {offset!r} is not a whole number of at least 0"

    @pytest.mark.parametrize("room", ["", "x" * 129, "a\0", 5, None])
    async def test_wrong_names(self, rooms: Rooms, room: str) -> None:
        for asked in (rooms.history(room), rooms.presence(room)):
            with pytest.raises(UsageError):
                await asked


class TestLists:
    async def test_of_rooms(self, rooms: Rooms) -> None:
        """Rooms are listed by name, in pages, also with a prefix."""
        for room in ("b", "a2", "a1", "世界"):
            await rooms.publish(room, "bot", "x")
        page = await rooms.list(limit=2)
        assert ([room.name for room in page.rooms], page.has_more) == (["a1", "a2"], True)
        page = await rooms.list(limit=2, after="a2")
        assert ([room.name for room in page.rooms], page.has_more) == (["b", "世界"], False)
        page = await rooms.list(prefix="a")
        assert [(room.name, room.newest.offset, room.users) for room in page.rooms] == [
            ("a1", 1, 0),
            ("a2", 1, 0),
        ]

    async def test_of_users(self, rooms: Rooms) -> None:
        """An unused room has no users."""
        await rooms.publish("lobby", "bot", "x")
        assert await rooms.presence("lobby") == []

    @pytest.mark.parametrize("name", ["prefix", "after"])
    @pytest.mark.parametrize("value", [None, 5, b"a", "\ud800"])
    async def test_what_is_no_name(self, rooms: Rooms, name: str, value: str) -> None:
        with pytest.raises(UsageError, match=f"^{name}: .* is not a str$|^the {name} is not valid"):
            await rooms.list(**{name: value})


class TestDisconnecting:
    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            ({"user": ""}, "the user name is empty"),
            ({"user": None}, "None is not a str"),
            ({"user": "ada", "room": ""}, "the room name is empty"),
            ({"user": "ada", "reason": 5}, "reason: 5 is not a str"),
            ({"user": "ada", "reason": "\ud800"}, "the reason is not valid Unicode"),
            (
                {"user": "ada", "reason": "x" * (MAX_REASON_LENGTH + 1)},
                "the reason has 257 characters; at most 256 are allowed",
            ),
        ],
    )
    async def test_wrong_arguments(self, rooms: Rooms, arguments: dict[str, str], why: str) -> None:
        with pytest.raises(UsageError) as caught:
            rooms.disconnect(**arguments)
        assert why in str(caught.value)


class TestWhen:
    async def test_before_the_start(self) -> None:
        """Before `start` every method raises UsageError."""
        rooms = ChatServer().rooms
        for asked in (
            rooms.publish("lobby", "bot", "a"),
            rooms.history("lobby"),
            rooms.presence("lobby"),
            rooms.list(),
        ):
            with pytest.raises(UsageError, match=r"was not started: await start\(\) first"):
                await asked
        with pytest.raises(UsageError, match="was not started"):
            rooms.disconnect("ada")
        assert rooms.statistics().sessions_opened == 0

    async def test_after_the_end(self) -> None:
        """After `close` methods raise ClosedError; the statistics remain."""
        async with ChatServer() as server:
            await server.start("127.0.0.1", 0)
            rooms = server.rooms
            await rooms.publish("lobby", "bot", "a")
        for asked in (
            rooms.publish("lobby", "bot", "a"),
            rooms.history("lobby"),
            rooms.presence("lobby"),
            rooms.list(),
        ):
            with pytest.raises(ClosedError, match="the server is closed"):
                await asked
        with pytest.raises(ClosedError):
            rooms.disconnect("ada")
        assert rooms.statistics().messages_published == 1

    async def test_without_rooms(self) -> None:
        """A server without rooms has no `rooms`."""
        with pytest.raises(UsageError, match="it was made with rooms=None"):
            ChatServer(rooms=None).rooms  # noqa: B018

    async def test_two_servers(self) -> None:
        """Two servers in one process have separate rooms."""
        async with ChatServer(rooms=RoomOptions()) as one, ChatServer() as two:
            for server in (one, two):
                await server.start("127.0.0.1", 0)
            await one.rooms.publish("lobby", "bot", "a")
            assert (await two.rooms.list()).rooms == []

"""The Rooms service: `Presence`, `ListRooms` and `Disconnect`, over real connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatify_stream import (
    Status,
    UsageError,
)
from chatify_stream.messages.chatify.rooms.v1 import (
    DisconnectRequest,
    ListRoomsRequest,
    Position,
    PresenceRequest,
    PresenceResponse,
    RoomInfo,
)
from chatify_stream.rooms import Retention

from ..talking import serving
from .rooms_client import bad_names, error_of, member, rooms_server, said


class TestPresence:
    async def test_users(self) -> None:
        """Users are listed once, sorted by name, while they have a session."""
        async with rooms_server() as (server, stub):
            request = PresenceRequest(room="房间")
            async with member(server, "房间", "小明"), member(server, "房间", "Zoe"):
                async with member(server, "房间", "Ada"), member(server, "房间", "Ada"):
                    async with member(server, "b", "Bob"):
                        assert await stub.presence(request) == PresenceResponse(
                            users=["Ada", "Zoe", "小明"], count=3
                        )

    async def test_two_sessions(self) -> None:
        """A user with two sessions counts once, and stays until the second has left."""
        left: asyncio.Queue[object] = asyncio.Queue()
        async with rooms_server(on_leave=left.put) as (server, stub):
            request = PresenceRequest(room="a", count_only=True)
            async with member(server, "a", "Bob"):
                async with member(server, "a", "Ada"):
                    async with member(server, "a", "Ada"):
                        assert (await stub.presence(request)).count == 2
                    await left.get()
                    assert (await stub.presence(request)).count == 2
                await left.get()
                assert (await stub.presence(request)).count == 1

    async def test_count_only(self) -> None:
        """With `count_only` the names are left out."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada"):
                answer = await stub.presence(PresenceRequest(room="a", count_only=True))
        assert answer == PresenceResponse(count=1)

    async def test_empty(self) -> None:
        """An unused room has no users."""
        async with rooms_server() as (_, stub):
            assert await stub.presence(PresenceRequest(room="a")) == PresenceResponse()

    @bad_names
    async def test_bad_name(self, name: str, why: str) -> None:
        """An invalid name is INVALID_ARGUMENT, with the reason."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.presence(PresenceRequest(room=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text


class TestListRooms:
    async def test_rooms(self) -> None:
        """Rooms with messages or users are listed, sorted by name."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "b", 3)
            await server.rooms.publish("房间", "Ada", "x")
            async with member(server, "a", "Ada"), member(server, "a", "Ada"):
                async with member(server, "b", "Bob"):
                    answer = await stub.list_rooms(ListRoomsRequest())
        assert [(room.name, room.users) for room in answer.rooms] == [
            ("a", 1),
            ("b", 1),
            ("房间", 0),
        ]
        assert answer.rooms[1].newest == Position(epoch=epoch, offset=4)
        assert answer.next_page_token == ""

    async def test_none(self) -> None:
        """Without rooms the page is empty and the last one."""
        async with rooms_server() as (_, stub):
            answer = await stub.list_rooms(ListRoomsRequest())
        assert (answer.rooms, answer.next_page_token) == ([], "")

    async def test_only_users(self) -> None:
        """A room that stores no message is listed while it has a member."""
        left: asyncio.Queue[object] = asyncio.Queue()
        options = {"retention": Retention(count=0), "on_leave": left.put}
        async with rooms_server(**options) as (server, stub):
            async with member(server, "a", "Ada") as ada:
                [room] = (await stub.list_rooms(ListRoomsRequest())).rooms
                epoch, _, offset = ada.position.partition("/")
                assert room == RoomInfo(
                    name="a", users=1, newest=Position(epoch=epoch, offset=int(offset) + 1)
                )
            await left.get()
            assert (await stub.list_rooms(ListRoomsRequest())).rooms == []

    async def test_paging(self) -> None:
        """2,500 rooms are listed page by page, each once, in order."""
        names = sorted(f"{'房间' if n % 2 else 'room'} {n}" for n in range(2500))
        async with rooms_server() as (server, stub):
            for name in reversed(names):
                await server.rooms.publish(name, "Ada", "x")
            sizes, got, token = [], [], None
            while token != "":
                answer = await stub.list_rooms(
                    ListRoomsRequest(page_size=1000, page_token=token or "")
                )
                sizes.append(len(answer.rooms))
                got += [room.name for room in answer.rooms]
                token = answer.next_page_token
        assert sizes == [1000, 1000, 500]
        assert got == names

    async def test_full_last_page(self) -> None:
        """A full last page has no token, so there is no empty page after it."""
        async with rooms_server() as (server, stub):
            for name in "abcd":
                await server.rooms.publish(name, "Ada", "x")
            first = await stub.list_rooms(ListRoomsRequest(page_size=2))
            last = await stub.list_rooms(
                ListRoomsRequest(page_size=2, page_token=first.next_page_token)
            )
        assert [room.name for room in last.rooms] == ["c", "d"]
        assert last.next_page_token == ""

    async def test_changes_between_pages(self) -> None:
        """A room created between two pages may appear; the others appear once."""
        async with rooms_server() as (server, stub):
            for name in "bdf":
                await server.rooms.publish(name, "Ada", "x")
            first = await stub.list_rooms(ListRoomsRequest(page_size=2))
            for name in "ace":
                await server.rooms.publish(name, "Ada", "x")
            last = await stub.list_rooms(
                ListRoomsRequest(page_size=9, page_token=first.next_page_token)
            )
        assert [[room.name for room in page.rooms] for page in (first, last)] == [
            ["b", "d"],
            ["e", "f"],
        ]

    @pytest.mark.parametrize(
        ("prefix", "names"),
        [
            ("", ["a", "ab", "abc", "b", "房", "房间"]),
            ("a", ["a", "ab", "abc"]),
            ("ab", ["ab", "abc"]),
            ("A", []),
            ("a%", []),
            ("_", []),
            ("*", []),
            ("房", ["房", "房间"]),
            (" ", []),
            ("a" * 10_000, []),
        ],
        ids=lambda it: it[:9] if isinstance(it, str) else "",
    )
    async def test_prefix(self, prefix: str, names: list[str]) -> None:
        """A prefix has no wildcards, and applies to every page."""
        async with rooms_server() as (server, stub):
            for name in ("a", "ab", "abc", "b", "房", "房间"):
                await server.rooms.publish(name, "Ada", "x")
            got, token = [], None
            while token != "":
                answer = await stub.list_rooms(
                    ListRoomsRequest(prefix=prefix, page_size=2, page_token=token or "")
                )
                got += [room.name for room in answer.rooms]
                token = answer.next_page_token
        assert got == names

    @pytest.mark.parametrize(
        ("size", "number"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**32 - 1, 1000)]
    )
    async def test_limits(self, size: int, number: int) -> None:
        """A page size of 0 is 100, and a page has at most 1000 rooms."""
        async with rooms_server() as (server, stub):
            for n in range(1010):
                await server.rooms.publish(f"{n:04}", "Ada", "x")
            answer = await stub.list_rooms(ListRoomsRequest(page_size=size))
        assert [room.name for room in answer.rooms] == [f"{n:04}" for n in range(number)]
        assert answer.next_page_token != ""

    @pytest.mark.parametrize(
        "token",
        ["!", "a", "YQ", "YQ=", "_w==", "小明", "YQ==YQ==", " YQ==", "x" * 100_000 + "!"],
        ids=range(9),
    )
    async def test_wrong_token(self, token: str) -> None:
        """An invalid page token is INVALID_ARGUMENT."""
        async with rooms_server() as (_, stub):
            error = await error_of(stub.list_rooms(ListRoomsRequest(page_token=token)))
        assert error == (
            Status.INVALID_ARGUMENT,
            "page_token: not valid; pass next_page_token of the previous page",
        )


class TestDisconnect:
    async def test_one_room(self) -> None:
        """With a room, only the sessions in that room end."""
        async with rooms_server() as (server, stub):
            async with (
                member(server, "房间", "小明") as first,
                member(server, "房间", "小明") as second,
                member(server, "b", "小明") as elsewhere,
                member(server, "房间", "Bob") as other,
            ):
                answer = await stub.disconnect(DisconnectRequest(user="小明", room="房间"))
                assert answer.sessions == 2
                await first.receive()  # that the second came, and Bob
                for session in (first, second):
                    await session.receive()
                    status, text, trailers = await session.end()
                    assert status is Status.PERMISSION_DENIED
                    assert text == "disconnected: by an operator"
                    assert trailers["chat-reconnect"] == "no"
                assert (await elsewhere.say("still here")).message == "still here"
                assert (await other.say("still here")).message == "still here"

    async def test_all_rooms(self) -> None:
        """Without a room, all sessions of the user end."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as a, member(server, "b", "Ada") as b:
                request = DisconnectRequest(user="Ada", reason="够了 enough")
                assert (await stub.disconnect(request)).sessions == 2
                for session in (a, b):
                    status, text, _ = await session.end()
                    assert status is Status.PERMISSION_DENIED
                    assert text == "disconnected: 够了 enough"
                assert (await stub.disconnect(request)).sessions == 0

    async def test_reconnect(self) -> None:
        """With `reconnect` the client may reconnect, and learns its position."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada:
                offset = (await ada.say("x")).offset
                request = DisconnectRequest(user="Ada", reason="an update", reconnect=True)
                assert (await stub.disconnect(request)).sessions == 1
                status, text, trailers = await ada.end()
            assert (status, text) == (
                Status.UNAVAILABLE,
                "disconnected: an update; reconnect",
            )
            assert trailers["chat-reconnect"] == "yes"
            epoch = ada.position.partition("/")[0]
            assert trailers["chat-resume"] == f"{epoch}/{offset}"

    async def test_leaves(self) -> None:
        """A disconnected user leaves the presence of the room."""
        left: asyncio.Queue[Any] = asyncio.Queue()
        async with rooms_server(on_leave=left.put) as (server, stub):
            async with member(server, "a", "Ada") as ada:
                await stub.disconnect(DisconnectRequest(user="Ada"))
                await ada.end()
                assert (await left.get()).user == "Ada"
                assert (await stub.presence(PresenceRequest(room="a"))).users == []
            ended = server.rooms.statistics().sessions_ended
        assert ended == {"sent_away": 1}

    async def test_nobody(self) -> None:
        """A user without a session is not an error."""
        async with rooms_server() as (_, stub):
            for request in (
                DisconnectRequest(user="Ada"),
                DisconnectRequest(user="Ada", room="a", reconnect=True),
            ):
                assert (await stub.disconnect(request)).sessions == 0

    @bad_names
    async def test_bad_user(self, name: str, why: str) -> None:
        """An invalid user name is INVALID_ARGUMENT, with the reason."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.disconnect(DisconnectRequest(user=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text

    async def test_bad_room(self) -> None:
        """An invalid room name is INVALID_ARGUMENT; an empty one stands for all rooms."""
        async with rooms_server() as (_, stub):
            request = DisconnectRequest(user="Ada", room="a\n")
            status, text = await error_of(stub.disconnect(request))
        assert status is Status.INVALID_ARGUMENT
        assert text == (
            "the room name 'a\\n' has the control character U+000A, which is not allowed"
        )

    async def test_long_reason(self) -> None:
        """A reason that is too long is INVALID_ARGUMENT; the longest allowed one arrives."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada:
                request = DisconnectRequest(user="Ada", reason="👋" * 257)
                assert await error_of(stub.disconnect(request)) == (
                    Status.INVALID_ARGUMENT,
                    "the reason has 257 characters; at most 256 are allowed",
                )
                request = DisconnectRequest(user="Ada", reason="👋" * 256)
                await stub.disconnect(request)
                assert (await ada.end())[1] == f"disconnected: {request.reason}"

    async def test_strange_reason(self) -> None:
        """A reason arrives unchanged, whatever its characters."""
        reason = "{why} %0A \n\x1b[31m"
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada:
                await stub.disconnect(DisconnectRequest(user="Ada", reason=reason))
                assert (await ada.end())[1] == f"disconnected: {reason}"

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("",), "the user name is empty"),
            (("Ada", ""), "the room name is empty"),
            (("Ada", "a\ud800"), "has the control character U\\+D800"),
        ],
    )
    async def test_python_wrong(self, arguments: tuple[str, ...], why: str) -> None:
        """The Python API raises UsageError for invalid names."""
        async with serving() as server:
            with pytest.raises(UsageError, match=why):
                server.rooms.disconnect(*arguments)

    @pytest.mark.parametrize(
        ("reason", "why"),
        [
            ("x\ud800", "the reason is not valid Unicode: surrogates not allowed"),
            (None, "reason: None is not a str"),
            ("x" * 257, "the reason has 257 characters"),
        ],
    )
    async def test_python_wrong_reason(self, reason: Any, why: str) -> None:
        """The Python API raises UsageError for an invalid reason."""
        async with serving() as server:
            with pytest.raises(UsageError, match=why):
                server.rooms.disconnect("Ada", reason=reason)

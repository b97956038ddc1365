"""The Rooms service, over real connections: our channel with the generated stub, and peers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from chatify_stream import (
    Channel,
    ChatClient,
    ChatServer,
    ServingStatus,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.brokers import MemoryBroker
from chatify_stream.errors import BrokerError, CallError
from chatify_stream.messages.chatify.rooms.v1 import (
    DisconnectRequest,
    HistoryRequest,
    HistoryResponse,
    ListRoomsRequest,
    Message,
    Position,
    PresenceRequest,
    PresenceResponse,
    PublishRequest,
    RoomInfo,
    RoomsStub,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.messages.service.v1 import ChatReq, ChatRsp
from chatify_stream.rooms import Retention
from chatify_stream.server import RoomOptions
from chatify_stream.server.rooms import ROOMS_SERVICE
from chatify_stream.wire import Cardinality, ClientStream

from ...e2e import peers
from ...e2e.chat_messages import compile_proto
from ...e2e.grpcio_client import CALL_SECONDS, open_channel
from ...e2e.processes import ServerProcess
from ...ports import free_port
from ..talking import answers, serving

SECONDS = 30.0
ROOMS_PROTO = "chatify/rooms/v1/rooms.proto"
METHODS = ["Publish", "History", "Presence", "ListRooms", "Disconnect", "ListNodes"]
BAD_NAMES = {
    "": "is empty; use 1 to 128 characters",
    "x" * 129: "has 129 characters; at most 128 are allowed",
    "小" * 129: "has 129 characters; at most 128 are allowed",
    "a\nb": "has the control character U+000A",
    "a\x1b[31m": "has the control character U+001B",
    "a\x9b": "has the control character U+009B",
    " a": "begins or ends with a space",
    "a\u3000": "begins or ends with a space",
}
ANY_TEXTS = ["", " ", "小明", "🎉👨‍👩‍👧", "a\nb\tc", "\x1b[31mred", "\0", "x" * 65536]

bad_names = pytest.mark.parametrize(("name", "why"), BAD_NAMES.items(), ids=range(len(BAD_NAMES)))


class Clock:
    """Seconds since 1970, which pass when the test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def rooms_server(**options: Any) -> AsyncIterator[tuple[ChatServer, RoomsStub]]:
    """A server with the service, and a stub for it."""
    async with serving(rooms=RoomOptions(service=True, **options)) as server:
        async with Channel("127.0.0.1", server.rooms_port) as channel:
            yield server, RoomsStub(channel, timeout=SECONDS)


class Member:
    """A client in a room."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream

    @property
    def position(self) -> str:
        """Where it joined."""
        metadata = self._stream.initial_metadata
        return f"{metadata['chat-epoch']}/{metadata['chat-offset']}"

    async def say(self, text: str, message_id: str = "") -> ChatRsp:
        """Publishes, and returns its own copy."""
        await self._stream.send_message(ChatReq(name=text, id=message_id))
        return await self.receive()

    async def receive(self) -> ChatRsp:
        reply = await self._stream.recv_message()
        assert reply is not None, "the session has ended"
        return reply

    async def end(self) -> tuple[Status, str | None, dict[str, str]]:
        """Status, text and trailers of a session that is ended by the server."""
        with pytest.raises(CallError) as caught:
            assert await self._stream.recv_message() is None
            await self._stream.recv_trailing_metadata()
        return caught.value.status, caught.value.message, dict(caught.value.metadata)


@asynccontextmanager
async def member(server: ChatServer, room: str, user: str) -> AsyncIterator[Member]:
    """A client that has joined; it leaves by cancelling."""
    metadata = {"chat-room-bin": room.encode(), "chat-user-bin": user.encode()}
    async with Channel("127.0.0.1", server.port) as channel:
        stream = channel.request(
            "/service.v1.Service/Chat",
            Cardinality.STREAM_STREAM,
            ChatReq,
            ChatRsp,
            metadata=metadata,
            timeout=SECONDS,
        )
        async with stream:
            await stream.send_request()
            await stream.recv_initial_metadata()
            joined = Member(stream)
            # What it says comes back once it is among those who are present.
            await joined.say(f"{user} is here")
            yield joined
            await stream.cancel()


async def error_of(call: Any) -> tuple[Status, str]:
    """Status and text of a call that must fail."""
    with pytest.raises(CallError) as caught:
        await call
    return caught.value.status, str(caught.value.message)


async def said(server: ChatServer, room: str, number: int) -> str:
    """Publishes `1`, `2` and so on; the epoch."""
    for each in range(1, number + 1):
        position = await server.rooms.publish(room, "Ada", str(each))
    return position.epoch


def offsets(answer: HistoryResponse) -> list[int]:
    return [message.offset for message in answer.messages]


class TestPublish:
    async def test_position(self) -> None:
        """Each message gets the next position of its room's epoch."""
        async with rooms_server() as (_, stub):
            first, second = [
                await stub.publish(PublishRequest(room="a", user="Ada", text=text)) for text in "xy"
            ]
            other = await stub.publish(PublishRequest(room="b", user="Ada", text="x"))
        assert [first.position.offset, second.position.offset, other.position.offset] == [1, 2, 1]
        assert first.position.epoch == second.position.epoch != other.position.epoch
        assert first.position.epoch != ""
        assert [first.duplicate, second.duplicate, other.duplicate] == [False] * 3

    @pytest.mark.parametrize("text", ANY_TEXTS, ids=range(len(ANY_TEXTS)))
    async def test_any_text(self, text: str) -> None:
        """A text may be anything, empty too, up to the limit of rooms; it is kept as it is."""
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room="房间", user="小明", text=text, id="一 1"))
            [message] = (await stub.history(HistoryRequest(room="房间"))).messages
        assert (message.user, message.text, message.id) == ("小明", text, "一 1")

    async def test_reaches_sessions(self) -> None:
        """Who is in the room gets the message as one of any sender; who is elsewhere does not."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada, member(server, "b", "Bob") as bob:
                await stub.publish(PublishRequest(room="a", user="系统", text="你好", id="n1"))
                reply = await ada.receive()
                assert (reply.message, reply.sender, reply.id) == ("你好", "系统", "n1")
                assert reply.offset == 2
                assert abs(reply.sent_at_ms / 1000 - time.time()) < SECONDS
                assert (await bob.say("still mine")).message == "still mine"

    async def test_time(self) -> None:
        """A message has the time at which the server took it, in milliseconds since 1970."""
        before = int(time.time() * 1000)
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room="a", user="Ada", text="x"))
            [message] = (await stub.history(HistoryRequest(room="a"))).messages
        assert before <= message.sent_at_ms <= time.time() * 1000

    async def test_duplicate(self) -> None:
        """The same id again is not published again: the answer has the first position."""
        request = PublishRequest(room="a", user="Ada", text="x", id="1")
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Bob") as bob:
                first = await stub.publish(request)
                again = await stub.publish(request)
                assert (first.duplicate, again.duplicate) == (False, True)
                assert again.position == first.position
                assert (await bob.receive()).message == "x"
                assert (await bob.say("next")).offset == first.position.offset + 1

    async def test_id_of_a_session(self) -> None:
        """What a session has published under the user and id is the same message."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada:
                own = await ada.say("x", "7")
                answer = await stub.publish(PublishRequest(room="a", user="Ada", text="x", id="7"))
        assert (answer.position.offset, answer.duplicate) == (own.offset, True)

    async def test_id_conflict(self) -> None:
        """An id with another text is ALREADY_EXISTS, and says where; nothing is published."""
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room="a", user="Ada", text="x", id="小1"))
            status, text = await error_of(
                stub.publish(PublishRequest(room="a", user="Ada", text="y", id="小1"))
            )
            assert (status, text) == (
                Status.ALREADY_EXISTS,
                "the id '小1' was published with another text, at offset 1; "
                "a new message needs a new id",
            )
            assert offsets(await stub.history(HistoryRequest(room="a"))) == [1]

    @pytest.mark.parametrize("change", [{"user": "Bob"}, {"room": "b"}, {"id": "2"}, {"id": ""}])
    async def test_another_key(self, change: dict[str, str]) -> None:
        """An id belongs to its user and room; and without id nothing is a duplicate."""
        key = {"room": "a", "user": "Ada", "id": "1"}
        async with rooms_server() as (_, stub):
            for each in (key, key | change, {**key, **change, "id": ""}, {**key, "id": ""}):
                answer = await stub.publish(PublishRequest(text="x", **each))
                assert not answer.duplicate

    async def test_after_the_window(self) -> None:
        """After five minutes an id is new again."""
        clock = Clock()
        request = PublishRequest(room="a", user="Ada", text="x", id="1")
        async with rooms_server(broker=MemoryBroker(clock=clock)) as (_, stub):
            await stub.publish(request)
            clock.now += 299
            assert (await stub.publish(request)).duplicate
            clock.now += 100
            assert not (await stub.publish(request)).duplicate

    @bad_names
    @pytest.mark.parametrize("field", ["room", "user"])
    async def test_bad_name(self, field: str, name: str, why: str) -> None:
        """A wrong name of room or user is INVALID_ARGUMENT, and says why."""
        request = PublishRequest(room="a", user="Ada", text="x")
        setattr(request, field, name)
        async with rooms_server() as (server, stub):
            status, text = await error_of(stub.publish(request))
            assert status is Status.INVALID_ARGUMENT
            assert text.startswith(f"the {field} name ")
            assert why in text
            assert server.rooms.statistics().messages_published == 0

    async def test_longest_names(self) -> None:
        """128 characters are not too many, of whatever size."""
        name = "👋" * 128
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room=name, user=name, text="x", id=name))
            [message] = (await stub.history(HistoryRequest(room=name))).messages
        assert (message.user, message.id) == (name, name)

    async def test_long_id(self) -> None:
        """An id with more is INVALID_ARGUMENT."""
        async with rooms_server() as (_, stub):
            request = PublishRequest(room="a", user="Ada", text="x", id="1" * 129)
            assert await error_of(stub.publish(request)) == (
                Status.INVALID_ARGUMENT,
                "the id of the message has 129 characters; at most 128 are allowed",
            )

    @pytest.mark.parametrize(("text", "size"), [("x" * 11, 11), ("小" * 4, 12)])
    async def test_too_large(self, text: str, size: int) -> None:
        """A text over the limit of rooms, in bytes, is RESOURCE_EXHAUSTED."""
        async with rooms_server(max_message_size=10) as (_, stub):
            assert await error_of(stub.publish(PublishRequest(room="a", user="u", text=text))) == (
                Status.RESOURCE_EXHAUSTED,
                f"the text has {size} bytes; at most 10 are allowed in a room",
            )
            answer = await stub.publish(PublishRequest(room="a", user="u", text="x" * 10))
            assert answer.position.offset == 1

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("a\ud800", "u", "x"), "has the control character U\\+D800"),
            (("a", "u\udfff", "x"), "has the control character U\\+DFFF"),
            (("a", "u", "x\ud800"), "the text is not valid Unicode: surrogates not allowed"),
            (("a", "u", 5), "text: 5 is not a str"),
            ((5, "u", "x"), "5 is not a str"),
        ],
    )
    async def test_python_only(self, arguments: tuple[Any, ...], why: str) -> None:
        """What cannot come by wire, the program can pass: it is a UsageError."""
        async with serving() as server:
            with pytest.raises(UsageError, match=why):
                await server.rooms.publish(*arguments)
            assert server.rooms.statistics().messages_published == 0

    async def test_python_only_id(self) -> None:
        """An id that has no bytes never gets into a log, which could not be read again."""
        async with rooms_server() as (server, stub):
            with pytest.raises(UsageError, match="the id of the message is not valid Unicode"):
                await server.rooms.publish("a", "u", "x", id="\ud800")
            assert (await server.rooms.publish("a", "u", "x")).offset == 1
            assert offsets(await stub.history(HistoryRequest(room="a"))) == [1]

    async def test_hooks_are_not_asked(self) -> None:
        """The hook is for what clients send."""

        async def refuse(message: object) -> str | None:
            raise StatusError(Status.PERMISSION_DENIED, "no")

        async with rooms_server(on_message=refuse) as (_, stub):
            answer = await stub.publish(PublishRequest(room="a", user="Ada", text="x"))
            assert answer.position.offset == 1


class TestHistory:
    async def test_messages(self) -> None:
        """They come whole, the oldest first, with the newest position and the oldest offset."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 3)
            answer = await stub.history(HistoryRequest(room="a"))
        times = [message.sent_at_ms for message in answer.messages]
        assert times == sorted(times)
        assert answer.messages == [
            Message(offset=n, user="Ada", text=str(n), sent_at_ms=ms)
            for n, ms in zip((1, 2, 3), times, strict=True)
        ]
        assert answer.newest == Position(epoch=epoch, offset=3)
        assert answer.oldest_offset == 1

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ({"limit": 2}, [1, 2]),
            ({"limit": 100}, [1, 2, 3, 4, 5]),
            ({"after": Position()}, [1, 2, 3, 4, 5]),
            ({"after": Position(offset=3)}, [4, 5]),
            ({"after": Position(offset=3), "limit": 1}, [4]),
            ({"after": Position(offset=5)}, []),
            ({"after": Position(offset=6)}, []),
            ({"after": Position(offset=2**63 - 1)}, []),
            ({"backwards": True}, [5, 4, 3, 2, 1]),
            ({"backwards": True, "limit": 2}, [5, 4]),
            ({"backwards": True, "before": 4}, [3, 2, 1]),
            ({"backwards": True, "before": 4, "limit": 2}, [3, 2]),
            ({"backwards": True, "before": 1}, []),
            ({"backwards": True, "before": 2**63 - 1, "limit": 1}, [5]),
        ],
    )
    async def test_which(self, request_: dict[str, Any], expected: list[int]) -> None:
        """Those after a place or before one, up to a limit, in both orders."""
        async with rooms_server() as (server, stub):
            await said(server, "a", 5)
            answer = await stub.history(HistoryRequest(room="a", **request_))
        assert offsets(answer) == expected
        assert (answer.newest.offset, answer.oldest_offset) == (5, 1)

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_across_pages(self, backwards: bool) -> None:
        """Page after page the whole room comes, each message once, in either order."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 2500)
            got: list[int] = []
            sizes = []
            while True:
                request = HistoryRequest(room="a", limit=1000, backwards=backwards)
                if got and backwards:
                    request.before = got[-1]
                elif got:
                    request.after = Position(epoch=epoch, offset=got[-1])
                answer = await stub.history(request)
                if not answer.messages:
                    break
                sizes.append(len(answer.messages))
                got += offsets(answer)
                if backwards and got[-1] == answer.oldest_offset:
                    break
        assert sizes == [1000, 1000, 500]
        assert got == list(range(2500, 0, -1) if backwards else range(1, 2501))

    @pytest.mark.parametrize(
        ("limit", "number"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**32 - 1, 1000)]
    )
    async def test_limits(self, limit: int, number: int) -> None:
        """0 is 100, and more than 1000 are never sent."""
        async with rooms_server() as (server, stub):
            await said(server, "a", 1010)
            answer = await stub.history(HistoryRequest(room="a", limit=limit))
            back = await stub.history(HistoryRequest(room="a", limit=limit, backwards=True))
        assert offsets(answer) == list(range(1, number + 1))
        assert offsets(back) == list(range(1010, 1010 - number, -1))

    async def test_large_texts(self) -> None:
        """A page ends early rather than be larger than clients take, and goes on from there."""
        async with rooms_server() as (server, stub):
            for _ in range(40):
                await server.rooms.publish("a", "Ada", "小" * 21_000)
            answer = await stub.history(HistoryRequest(room="a", limit=1000))
            number = len(answer.messages)
            assert 1 < number < 40
            assert len(bytes(answer)) < 4 * 1024 * 1024 / 2
            assert (answer.newest.offset, answer.oldest_offset) == (40, 1)
            back = await stub.history(HistoryRequest(room="a", limit=1000, backwards=True))
            assert offsets(back) == list(range(40, 40 - number, -1))
            rest = await stub.history(
                HistoryRequest(room="a", after=Position(offset=number), limit=1000)
            )
            assert offsets(rest)[0] == number + 1

    async def test_one_large_text(self) -> None:
        """A message alone comes, however large."""
        async with rooms_server(max_message_size=3 * 1024 * 1024) as (server, stub):
            for _ in range(2):
                await server.rooms.publish("a", "Ada", "x" * 2 * 1024 * 1024)
            assert offsets(await stub.history(HistoryRequest(room="a"))) == [1]
            assert offsets(await stub.history(HistoryRequest(room="a", backwards=True))) == [2]

    async def test_not_everything_is_kept(self) -> None:
        """What retention has dropped is missing, and the oldest offset says so."""
        async with rooms_server(retention=Retention(count=3)) as (server, stub):
            await said(server, "a", 10)
            answer = await stub.history(HistoryRequest(room="a"))
            assert offsets(answer) == [8, 9, 10]
            assert answer.oldest_offset == 8
            after = await stub.history(HistoryRequest(room="a", after=Position(offset=2)))
            assert offsets(after) == [8, 9, 10]
            before = await stub.history(HistoryRequest(room="a", backwards=True, before=8))
            assert offsets(before) == []

    async def test_nothing_is_kept(self) -> None:
        """Where nothing is kept, the oldest offset is the one after the newest."""
        async with rooms_server(retention=Retention(count=0)) as (server, stub):
            async with member(server, "a", "Ada"):
                await said(server, "a", 3)
                answer = await stub.history(HistoryRequest(room="a"))
        assert (offsets(answer), answer.newest.offset, answer.oldest_offset) == ([], 4, 5)

    async def test_unused_room(self) -> None:
        """A room that nobody has used is empty, and asking does not make it a room."""
        async with rooms_server() as (_, stub):
            answer = await stub.history(HistoryRequest(room="never"))
            assert (offsets(answer), answer.newest.offset, answer.oldest_offset) == ([], 0, 1)
            assert answer.newest.epoch != ""
            assert (await stub.list_rooms(ListRoomsRequest())).rooms == []

    async def test_epoch(self) -> None:
        """With the epoch of the room's log its position works, the newest one too."""
        async with rooms_server() as (server, stub):
            epoch = await said(server, "a", 5)
            for offset in range(6):
                after = Position(epoch=epoch, offset=offset)
                answer = await stub.history(HistoryRequest(room="a", after=after))
                assert offsets(answer) == list(range(offset + 1, 6))

    @pytest.mark.parametrize(
        ("epoch", "offset"),
        [
            pytest.param("another", 8, id="another epoch"),
            pytest.param("another", 0, id="another epoch, from the beginning"),
            pytest.param("x" * 100_000, 8, id="no epoch at all"),
            pytest.param(None, 6, id="dropped"),
            pytest.param(None, 11, id="of the future"),
        ],
    )
    async def test_out_of_range(self, epoch: str | None, offset: int) -> None:
        """A position whose next messages are not there is OUT_OF_RANGE, never a hole."""
        async with rooms_server(retention=Retention(count=3)) as (server, stub):
            own = await said(server, "a", 10)
            after = Position(epoch=own if epoch is None else epoch, offset=offset)
            status, text = await error_of(stub.history(HistoryRequest(room="a", after=after)))
            assert status is Status.OUT_OF_RANGE
            assert text == (
                "after: the room does not have all messages after this position; its newest "
                f"message is at {own}/10, its oldest has the offset 8"
            )
            last = await stub.history(HistoryRequest(room="a", after=Position(epoch=own, offset=7)))
            assert offsets(last) == [8, 9, 10]

    @pytest.mark.parametrize(
        ("request_", "text"),
        [
            ({"before": 3}, "before: only allowed with backwards; use after to read forwards"),
            (
                {"before": 3, "after": Position(offset=1)},
                "before: only allowed with backwards; use after to read forwards",
            ),
            (
                {"backwards": True, "after": Position(offset=1)},
                "after: not allowed with backwards; use before",
            ),
            (
                {"backwards": True, "after": Position()},
                "after: not allowed with backwards; use before",
            ),
            (
                {"after": Position(offset=2**63)},
                "the offset is too large; at most 9223372036854775807 is allowed",
            ),
            (
                {"backwards": True, "before": 2**64 - 1},
                "the offset is too large; at most 9223372036854775807 is allowed",
            ),
        ],
    )
    async def test_wrong(self, request_: dict[str, Any], text: str) -> None:
        """What contradicts itself, or cannot be, is INVALID_ARGUMENT."""
        async with rooms_server() as (_, stub):
            error = await error_of(stub.history(HistoryRequest(room="a", **request_)))
        assert error == (Status.INVALID_ARGUMENT, text)

    @bad_names
    async def test_bad_name(self, name: str, why: str) -> None:
        """A wrong name is INVALID_ARGUMENT, and says why."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.history(HistoryRequest(room=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text


class TestPresence:
    async def test_users(self) -> None:
        """Users are listed once, in the order of their names, while a session of them is there."""
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
        """The names are left out where only their number is asked for."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada"):
                answer = await stub.presence(PresenceRequest(room="a", count_only=True))
        assert answer == PresenceResponse(count=1)

    async def test_empty(self) -> None:
        """Nobody is in a room that is not used."""
        async with rooms_server() as (_, stub):
            assert await stub.presence(PresenceRequest(room="a")) == PresenceResponse()

    @bad_names
    async def test_bad_name(self, name: str, why: str) -> None:
        """A wrong name is INVALID_ARGUMENT, and says why."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.presence(PresenceRequest(room=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text


class TestListRooms:
    async def test_rooms(self) -> None:
        """Rooms with messages or users, in the order of their names by code points."""
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
        """Where there are none, the page is empty, and the last."""
        async with rooms_server() as (_, stub):
            answer = await stub.list_rooms(ListRoomsRequest())
        assert (answer.rooms, answer.next_page_token) == ([], "")

    async def test_only_users(self) -> None:
        """A room that keeps no message is one while somebody is in it."""
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
        """2,500 rooms come page by page, each once, in their order."""
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
        """A last page that is full has no token: there is never an empty page behind it."""
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
        """A new room is on a later page if its name is; the others come once all the same."""
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
        """A prefix is taken to the letter, and holds on every page."""
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
        """0 is 100, and more than 1000 are never sent."""
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
        """With a room only the sessions there are ended, all of them; no other notices."""
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
        """Without a room all sessions of the user are ended."""
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
        """With reconnect the client is told to come back, and where to resume."""
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
        """Who was disconnected has left the room."""
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
        """A user without a session is no error."""
        async with rooms_server() as (_, stub):
            for request in (
                DisconnectRequest(user="Ada"),
                DisconnectRequest(user="Ada", room="a", reconnect=True),
            ):
                assert (await stub.disconnect(request)).sessions == 0

    @bad_names
    async def test_bad_user(self, name: str, why: str) -> None:
        """A wrong user name is INVALID_ARGUMENT, and says why."""
        async with rooms_server() as (_, stub):
            status, text = await error_of(stub.disconnect(DisconnectRequest(user=name)))
        assert status is Status.INVALID_ARGUMENT
        assert why in text

    async def test_bad_room(self) -> None:
        """A wrong room name is, too, though an empty one stands for all."""
        async with rooms_server() as (_, stub):
            request = DisconnectRequest(user="Ada", room="a\n")
            status, text = await error_of(stub.disconnect(request))
        assert status is Status.INVALID_ARGUMENT
        assert text == (
            "the room name 'a\\n' has the control character U+000A, which is not allowed"
        )

    async def test_long_reason(self) -> None:
        """A reason for which trailers have no room is INVALID_ARGUMENT; the longest arrives."""
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
        """A reason comes to the letter, whatever it is."""
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
        """The program's own disconnect refuses the same, with a UsageError."""
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
        """So it does with a reason that cannot be told."""
        async with serving() as server:
            with pytest.raises(UsageError, match=why):
                server.rooms.disconnect("Ada", reason=reason)


class AwayBroker(MemoryBroker):
    """Its storage is away, but to be opened."""

    async def publish(self, *_: Any, **__: Any) -> Any:
        raise BrokerError("memory://", "the disk is full")

    read = users = rooms = publish


REQUESTS = {
    "publish": PublishRequest(room="a", user="Ada", text="x"),
    "history": HistoryRequest(room="a"),
    "presence": PresenceRequest(room="a"),
    "list_rooms": ListRoomsRequest(),
    "disconnect": DisconnectRequest(user="Ada"),
}


class TestTrouble:
    @pytest.mark.parametrize("method", ["publish", "history", "presence", "list_rooms"])
    async def test_broker_away(self, method: str) -> None:
        """What the broker cannot do is UNAVAILABLE, with what is wrong."""
        async with rooms_server(broker=AwayBroker()) as (_, stub):
            with pytest.raises(UnavailableError) as caught:
                await getattr(stub, method)(REQUESTS[method])
        assert caught.value.message == "the broker memory://: the disk is full"

    @pytest.mark.parametrize("method", REQUESTS)
    async def test_closed(self, method: str) -> None:
        """Rooms that are closed already, while the last calls end, are UNAVAILABLE."""
        async with rooms_server() as (server, stub):
            await server._node.close()
            with pytest.raises(UnavailableError) as caught:
                await getattr(stub, method)(REQUESTS[method])
        assert caught.value.message == "the server is closed"

    @pytest.mark.parametrize("method", METHODS)
    async def test_no_message(self, method: str) -> None:
        """Bytes that are no request are INTERNAL, as gRPC has it."""
        async with rooms_server() as (server, _):
            async with Channel("127.0.0.1", server.port) as channel:
                async with channel.request(
                    f"/{ROOMS_SERVICE}/{method}", Cardinality.UNARY_UNARY, Bytes, Bytes
                ) as stream:
                    await stream.send_message(Bytes(b"\x0a\x02\xff\xff\x0a\x02"), end=True)
                    with pytest.raises(StatusError, match="not a valid") as caught:
                        await stream.recv_message()
        assert caught.value.status is Status.INTERNAL


class Bytes(bytes):
    """What is sent as it is."""

    def SerializeToString(self) -> bytes:  # noqa: N802
        return bytes(self)

    FromString = classmethod(lambda cls, data: cls(data))


class TestWhere:
    async def test_off(self) -> None:
        """Unless it is turned on, the service is UNIMPLEMENTED, and health does not know it."""
        async with serving() as server:
            async with Channel("127.0.0.1", server.port) as channel:
                for method, request in REQUESTS.items():
                    call = getattr(RoomsStub(channel), method)(request)
                    assert (await error_of(call))[0] is Status.UNIMPLEMENTED
            assert server.health.status(ROOMS_SERVICE) is None

    async def test_own_port(self) -> None:
        """On the server's port it stands beside Chat."""
        async with rooms_server() as (server, stub):
            assert server.rooms_port == server.port
            assert await answers(server, "Ada") == ["Hello Ada"]
            await stub.publish(REQUESTS["publish"])
            assert server.health.status(ROOMS_SERVICE) is ServingStatus.SERVING

    async def test_other_port(self) -> None:
        """On a port of its own it is alone with health; the other port does not have it."""
        async with rooms_server(service_port=0) as (server, stub):
            assert server.rooms_port != server.port
            await stub.publish(REQUESTS["publish"])
            async with (
                Channel("127.0.0.1", server.port) as chat_port,
                Channel("127.0.0.1", server.rooms_port) as rooms_port,
            ):
                status, _ = await error_of(RoomsStub(chat_port).publish(REQUESTS["publish"]))
                assert status is Status.UNIMPLEMENTED
                for channel in (chat_port, rooms_port):
                    for name in ("", ROOMS_SERVICE, "service.v1.Service"):
                        answer = await HealthStub(channel).check(HealthCheckRequest(service=name))
                        assert answer.status is ServingStatus.SERVING
                with pytest.raises(StatusError) as caught:
                    async with ChatClient(rooms_port) as chat:
                        await chat.send("Ada")
                        await chat.receive()
                assert caught.value.status is Status.UNIMPLEMENTED
            assert await answers(server, "Ada") == ["Hello Ada"]

    async def test_given_port(self) -> None:
        """A port that is given is the one it takes, on the host that is given."""
        port = free_port()
        async with rooms_server(service_port=port, service_host="localhost") as (server, stub):
            assert server.rooms_port == port
            await stub.publish(REQUESTS["publish"])

    async def test_other_port_is_off_with_it(self) -> None:
        """A port alone does not turn it on."""
        async with serving(rooms=RoomOptions(service_port=0)) as server:
            assert server.rooms_port == server.port

    async def test_sessions_of_the_other_port(self) -> None:
        """What it does on its own port reaches the sessions of the server."""
        async with rooms_server(service_port=0) as (server, stub):
            async with member(server, "a", "Ada") as ada:
                await stub.publish(PublishRequest(room="a", user="Bob", text="hi"))
                assert (await ada.receive()).message == "hi"
                assert (await stub.presence(PresenceRequest(room="a"))).users == ["Ada"]
                assert (await stub.disconnect(DisconnectRequest(user="Ada"))).sessions == 1
                assert (await ada.end())[0] is Status.PERMISSION_DENIED

    async def test_drain(self) -> None:
        """A drain ends both ports, and health says so before."""
        async with rooms_server(service_port=0) as (server, stub):
            await stub.publish(REQUESTS["publish"])
            await server.drain(0)
            assert server.health.status(ROOMS_SERVICE) is ServingStatus.NOT_SERVING
            with pytest.raises(UnavailableError):
                await stub.publish(REQUESTS["publish"])


def grpcio_messages() -> SimpleNamespace:
    """The messages as google.protobuf has them, by their names."""
    pool = DescriptorPool()
    for file in compile_proto(ROOMS_PROTO):
        pool.Add(file)
    names = pool.FindFileByName(ROOMS_PROTO).message_types_by_name
    return SimpleNamespace(**{name: GetMessageClass(each) for name, each in names.items()})


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server process as an operator starts it."""
    with ServerProcess("serve", "--rooms-service", "--reflection") as process:
        yield process


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    return peers.build_go_peers() / "grpcurl"


@pytest.mark.process
class TestPeers:
    def test_grpcio(self, server: ServerProcess) -> None:
        """grpcio, with messages of the same proto file, calls every method."""
        api = grpcio_messages()
        with open_channel(server.address) as channel:

            def call(method: str, request: Any, reply: Any) -> Any:
                path = f"/{ROOMS_SERVICE}/{method}"
                call = channel.unary_unary(path, type(request).SerializeToString, reply.FromString)
                return call(request, timeout=CALL_SECONDS)

            def publish(**fields: str) -> Any:
                request = api.PublishRequest(room="grpcio 房间", user="小明", **fields)
                return call("Publish", request, api.PublishResponse)

            first = publish(text="你好", id="1")
            again = publish(text="你好", id="1")
            assert (first.position.offset, first.duplicate) == (1, False)
            assert (again.position, again.duplicate) == (first.position, True)
            with pytest.raises(grpc.RpcError) as caught:
                publish(text="other", id="1")
            assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
            with pytest.raises(grpc.RpcError) as caught:
                publish(text="x" * 65537)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            request = api.HistoryRequest(room="grpcio 房间", backwards=True)
            found = call("History", request, api.HistoryResponse)
            [message] = found.messages
            assert (message.offset, message.user, message.text) == (1, "小明", "你好")
            assert (found.newest, found.oldest_offset) == (first.position, 1)
            request = api.HistoryRequest(room="grpcio 房间", after=api.Position(epoch="no"))
            with pytest.raises(grpc.RpcError) as caught:
                call("History", request, api.HistoryResponse)
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            request = api.PresenceRequest(room="grpcio 房间")
            assert call("Presence", request, api.PresenceResponse).count == 0
            request = api.ListRoomsRequest(prefix="grpcio ")
            [room] = call("ListRooms", request, api.ListRoomsResponse).rooms
            assert (room.name, room.newest, room.users) == ("grpcio 房间", first.position, 0)
            request = api.DisconnectRequest(user="小明", reconnect=True)
            assert call("Disconnect", request, api.DisconnectResponse).sessions == 0

    def test_grpcurl(self, grpcurl: Path, server: ServerProcess) -> None:
        """grpcurl finds the service by reflection, describes it, and calls every method."""

        def output(*args: str | Path) -> str:
            done = peers.run_command(grpcurl, "-plaintext", "-max-time", "30", *args)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def call(method: str, **request: object) -> Any:
            data = json.dumps(request)
            return json.loads(output("-d", data, server.address, f"{ROOMS_SERVICE}/{method}"))

        assert ROOMS_SERVICE in output(server.address, "list").splitlines()
        methods = output(server.address, "list", ROOMS_SERVICE).splitlines()
        assert methods == [f"{ROOMS_SERVICE}.{name}" for name in sorted(METHODS)]
        described = output(server.address, "describe", f"{ROOMS_SERVICE}.Publish")
        assert (
            "rpc Publish ( .chatify.rooms.v1.PublishRequest ) "
            "returns ( .chatify.rooms.v1.PublishResponse );"
        ) in described
        health = output("-d", json.dumps({"service": ROOMS_SERVICE}), server.address,
                        "grpc.health.v1.Health/Check")  # fmt: skip
        assert json.loads(health) == {"status": "SERVING"}

        position = call("Publish", room="grpcurl", user="小明", text="🎉")["position"]
        assert position["offset"] == "1"
        found = call("History", room="grpcurl", after={"epoch": position["epoch"]})
        assert found["messages"][0]["text"] == "🎉"
        assert call("Presence", room="grpcurl") == {}
        listed = call("ListRooms", prefix="grpcurl")
        assert listed == {"rooms": [{"name": "grpcurl", "newest": position}]}
        assert call("Disconnect", user="小明") == {}
        done = peers.run_command(
            grpcurl, "-plaintext", "-max-time", "30", "-d", json.dumps({"pageToken": "!"}),
            server.address, f"{ROOMS_SERVICE}/ListRooms",
        )  # fmt: skip
        assert done.returncode != 0
        assert "Code: InvalidArgument" in done.stderr
        assert "page_token: not valid" in done.stderr

    def test_grpcurl_where_it_is(self, grpcurl: Path) -> None:
        """With a port of its own, reflection tells of it there and not at the other port."""
        port = free_port()
        with ServerProcess(
            "serve", "--rooms-service", "--rooms-port", str(port), "--reflection"
        ) as server:
            for address, is_there in ((server.address, False), (f"127.0.0.1:{port}", True)):
                done = peers.run_command(grpcurl, "-plaintext", "-max-time", "30", address, "list")
                assert done.returncode == 0, done.stderr
                names = done.stdout.splitlines()
                assert (ROOMS_SERVICE in names) == is_there
                assert ("service.v1.Service" in names) != is_there
                assert "grpc.health.v1.Health" in names

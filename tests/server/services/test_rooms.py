"""The Rooms service: `Publish`, over real connections."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chatify_stream import (
    Status,
    StatusError,
    UsageError,
)
from chatify_stream.brokers import MemoryBroker
from chatify_stream.messages.chatify.rooms.v1 import (
    HistoryRequest,
    PublishRequest,
)

from ..talking import serving
from .rooms_client import (
    ANY_TEXTS,
    SECONDS,
    Clock,
    bad_names,
    error_of,
    member,
    offsets,
    rooms_server,
)


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
        """Any text up to the limit is stored unchanged, also an empty one."""
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room="房间", user="小明", text=text, id="一 1"))
            [message] = (await stub.history(HistoryRequest(room="房间"))).messages
        assert (message.user, message.text, message.id) == ("小明", text, "一 1")

    async def test_reaches_sessions(self) -> None:
        """Members receive the message like any other; clients in other rooms do not."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada, member(server, "b", "Bob") as bob:
                await stub.publish(PublishRequest(room="a", user="系统", text="你好", id="n1"))
                reply = await ada.receive()
                assert (reply.message, reply.sender, reply.id) == ("你好", "系统", "n1")
                assert reply.offset == 2
                assert abs(reply.sent_at_ms / 1000 - time.time()) < SECONDS
                assert (await bob.say("still mine")).message == "still mine"

    async def test_time(self) -> None:
        """A message has the time at which the server received it, in milliseconds since 1970."""
        before = int(time.time() * 1000)
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room="a", user="Ada", text="x"))
            [message] = (await stub.history(HistoryRequest(room="a"))).messages
        assert before <= message.sent_at_ms <= time.time() * 1000

    async def test_duplicate(self) -> None:
        """A repeated id is not published again; the answer has the first position."""
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
        """A message of a session with the same user and id is the same message."""
        async with rooms_server() as (server, stub):
            async with member(server, "a", "Ada") as ada:
                own = await ada.say("x", "7")
                answer = await stub.publish(PublishRequest(room="a", user="Ada", text="x", id="7"))
        assert (answer.position.offset, answer.duplicate) == (own.offset, True)

    async def test_id_conflict(self) -> None:
        """An id with another text is ALREADY_EXISTS with the offset; nothing is published."""
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
        """An id belongs to its user and room; messages without id are never duplicates."""
        key = {"room": "a", "user": "Ada", "id": "1"}
        async with rooms_server() as (_, stub):
            for each in (key, key | change, {**key, **change, "id": ""}, {**key, "id": ""}):
                answer = await stub.publish(PublishRequest(text="x", **each))
                assert not answer.duplicate

    async def test_after_the_window(self) -> None:
        """An id can be used again after five minutes."""
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
        """An invalid name of a room or user is INVALID_ARGUMENT, with the reason."""
        request = PublishRequest(room="a", user="Ada", text="x")
        setattr(request, field, name)
        async with rooms_server() as (server, stub):
            status, text = await error_of(stub.publish(request))
            assert status is Status.INVALID_ARGUMENT
            assert text.startswith(f"the {field} name ")
            assert why in text
            assert server.rooms.statistics().messages_published == 0

    async def test_longest_names(self) -> None:
        """Names of 128 characters are allowed, whatever their size in bytes."""
        name = "👋" * 128
        async with rooms_server() as (_, stub):
            await stub.publish(PublishRequest(room=name, user=name, text="x", id=name))
            [message] = (await stub.history(HistoryRequest(room=name))).messages
        assert (message.user, message.id) == (name, name)

    async def test_long_id(self) -> None:
        """An id with more than 128 characters is INVALID_ARGUMENT."""
        async with rooms_server() as (_, stub):
            request = PublishRequest(room="a", user="Ada", text="x", id="1" * 129)
            assert await error_of(stub.publish(request)) == (
                Status.INVALID_ARGUMENT,
                "the id of the message has 129 characters; at most 128 are allowed",
            )

    @pytest.mark.parametrize(("text", "size"), [("x" * 11, 11), ("小" * 4, 12)])
    async def test_too_large(self, text: str, size: int) -> None:
        """A text above the size limit in bytes is RESOURCE_EXHAUSTED."""
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
        """Values that gRPC cannot carry raise UsageError in the Python API."""
        async with serving() as server:
            with pytest.raises(UsageError, match=why):
                await server.rooms.publish(*arguments)
            assert server.rooms.statistics().messages_published == 0

    async def test_python_only_id(self) -> None:
        """An id that UTF-8 cannot encode is never stored, because it could not be read again."""
        async with rooms_server() as (server, stub):
            with pytest.raises(UsageError, match="the id of the message is not valid Unicode"):
                await server.rooms.publish("a", "u", "x", id="\ud800")
            assert (await server.rooms.publish("a", "u", "x")).offset == 1
            assert offsets(await stub.history(HistoryRequest(room="a"))) == [1]

    async def test_hooks_are_not_asked(self) -> None:
        """The message hook does not check messages of the service."""

        async def refuse(message: object) -> str | None:
            raise StatusError(Status.PERMISSION_DENIED, "no")

        async with rooms_server(on_message=refuse) as (_, stub):
            answer = await stub.publish(PublishRequest(room="a", user="Ada", text="x"))
            assert answer.position.offset == 1

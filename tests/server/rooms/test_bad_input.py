"""Invalid input of clients: the client learns what is wrong, and other members notice nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from h2.events import ResponseReceived, StreamEnded

from chatify_stream import Channel, ChatServer, Limits, Status
from chatify_stream.codec import encode_request
from tests.wire.raw import RawClient, framed, raw_client, request_headers

from .membership import CHAT, Membership, channel_to, entering, joined, refused, room_server

KIB = 1024
CONFLICT = "the id '1' was published with another text, at offset 1; a new message needs a new id"

NOT_ASCII = "is not ASCII; send other text as UTF-8 under a key that ends in -bin"


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with room_server() as server:
        yield server


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


@pytest.fixture
async def bystander(server: ChatServer) -> AsyncIterator[Membership]:
    """Runs a member that exchanges messages before and after, and sees nothing in between."""
    async with channel_to(server) as channel, joined(channel, user="bystander") as bystander:
        await bystander.say("before")
        assert await bystander.texts() == ["before"]
        yield bystander
        await bystander.say("after")
        assert await bystander.texts() == ["after"]


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ([("chat-room-bin", b"")], "the room name is empty; use 1 to 128 characters"),
            (
                [("chat-room", "x" * 129)],
                "the room name has 129 characters; at most 128 are allowed",
            ),
            (
                [("chat-room-bin", b"a\x00b")],
                "the room name 'a\\x00b' has the control character U+0000, which is not allowed",
            ),
            ([("chat-room-bin", b"\xff")], "chat-room-bin is not UTF-8; encode the text as UTF-8"),
            (
                [("chat-room", "lobby"), ("chat-room-bin", b"attic")],
                "chat-room and chat-room-bin differ; send one of them",
            ),
            (
                [("chat-room", "lobby"), ("chat-user-bin", b"")],
                "the user name is empty; use 1 to 128 characters",
            ),
            (
                [("chat-room", "lobby"), ("chat-user-bin", "世".encode() * 129)],
                "the user name has 129 characters; at most 128 are allowed",
            ),
            (
                [("chat-room", "lobby"), ("chat-user-bin", b"a\x85")],
                "chat-user-bin is not UTF-8; encode the text as UTF-8",
            ),
            (
                [("chat-room", "lobby"), ("chat-user-bin", "a\x85b".encode())],
                "the user name 'a\\x85b' has the control character U+0085, which is not allowed",
            ),
            (
                [("chat-room", "lobby"), ("chat-resume", "5")],
                "chat-resume: '5' is not a position; use EPOCH/OFFSET as the server sent it",
            ),
            (
                [("chat-room", "lobby"), ("chat-resume", f"e/{2**64}")],
                f"chat-resume: 'e/{2**64}' is not a position; "
                "use EPOCH/OFFSET as the server sent it",
            ),
            (
                [("chat-room", "lobby"), ("chat-history", "many")],
                "chat-history: 'many' is not a number of messages; "
                "send a whole number from 0 to 999999999",
            ),
            (
                [("chat-room", "lobby"), ("chat-history", "5"), ("chat-resume", "e/1")],
                "chat-resume and chat-history exclude each other; send one of them",
            ),
            (
                [("chat-room", "lobby"), ("chat-events", "typing")],
                "chat-events: 'typing' is not an event; "
                "send presence or users, separated by commas",
            ),
        ],
    )
    async def test_that_is_wrong(
        self,
        channel: Channel,
        bystander: Membership,
        metadata: list[tuple[str, str | bytes]],
        message: str,
    ) -> None:
        """An invalid join is INVALID_ARGUMENT, with the fix, and without reconnect."""
        end = await refused(channel, *metadata)
        assert (end.status, end.message) == (Status.INVALID_ARGUMENT, message)
        assert end.trailers == {"chat-reconnect": "no"}

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("chat-room", b"", "the room name is empty; use 1 to 128 characters"),
            ("chat-user", b"", "the user name is empty; use 1 to 128 characters"),
            ("chat-room", "Zoë".encode(), f"the metadata value of chat-room {NOT_ASCII}"),
            ("chat-user", b"\xff", f"the metadata value of chat-user {NOT_ASCII}"),
            (
                "chat-user",
                b"a\x7fb",
                "the user name 'a\\x7fb' has the control character U+007F, which is not allowed",
            ),
            ("chat-room-bin", b"%", "the metadata value of chat-room-bin is not valid base64"),
        ],
    )
    async def test_that_no_library_sends(
        self, server: ChatServer, bystander: Membership, key: str, value: bytes, message: str
    ) -> None:
        """Every invalid combination of metadata ends with a text that names the problem."""
        async with raw_client(server.port) as client:
            headers = {**dict(request_headers(CHAT)), "chat-room": b"lobby", key: value}
            client.h2.send_headers(1, list(headers.items()))
            client.flush()
            answer = await trailers_of(client)
        assert answer["grpc-status"] == str(Status.INVALID_ARGUMENT.value)
        assert answer["grpc-message"] == message


class TestMessages:
    @pytest.mark.parametrize(
        ("text", "taken"), [("x" * (64 * KIB - 4), True), ("x" * (64 * KIB - 3), False)]
    )
    async def test_the_limit(
        self, channel: Channel, bystander: Membership, text: str, taken: bool
    ) -> None:
        """A message of 64 KiB is accepted; a larger one ends the session after earlier messages."""
        async with joined(channel, user="ada") as ada:
            await ada.say("first", text)
            await ada.half_close()
            heard, end = await ada.last_words()
        expected = ["first", text] if taken else ["first"]
        assert [message.message for message in heard] == expected
        assert await bystander.texts(len(expected)) == expected
        assert end.position == f"{ada.epoch}/{1 + len(expected)}"
        if not taken:
            assert (end.status, end.message, end.may_come_back) == (
                Status.RESOURCE_EXHAUSTED,
                f"the message has {64 * KIB + 1} bytes; at most {64 * KIB} are allowed",
                "no",
            )

    async def test_the_limit_of_direct_sessions(self, channel: Channel) -> None:
        """Direct sessions accept 4 MiB, beside a room on the same connection."""
        async with joined(channel), entering(channel, []) as direct:
            text = "x" * (4 * KIB * KIB - 20)
            await direct.say(text)
            assert await direct.texts() == [f"Hello {text}"]

    async def test_a_limit_of_ones_own(self) -> None:
        """Of the limits for rooms and for all calls, the smaller one applies in rooms."""
        for limits, size, most in (
            (Limits(max_message_size=1000), 50, 50),
            (Limits(max_message_size=30), 50, 30),
        ):
            async with room_server(limits=limits, max_message_size=size) as server:
                async with channel_to(server) as channel, joined(channel) as ada:
                    await ada.say("x" * 60)
                    end = await ada.end()
            assert end.message == f"the message has 62 bytes; at most {most} are allowed"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_compressed(self, channel: Channel, bystander: Membership, encoding: str) -> None:
        """A message that is too large only after decompression is rejected."""
        async with joined(channel, compression=encoding) as ada:
            await ada.say("first", "x" * 1_000_000)
            heard, end = await ada.last_words()
        assert end.status is Status.RESOURCE_EXHAUSTED
        assert str(64 * KIB) in end.message
        assert end.position == f"{ada.epoch}/{1 + len(heard)}"
        assert await bystander.texts() == ["first"]

    async def test_that_came_before_the_room(
        self, server: ChatServer, bystander: Membership
    ) -> None:
        """A message that is too large is rejected in the same read as the headers, too."""
        async with raw_client(server.port) as client:
            client.h2.send_headers(1, request_headers(CHAT, chat_room="lobby"))
            large = framed(encode_request("x" * 64 * KIB, ""))
            client.h2.send_data(1, (framed(encode_request("small", "")) + large)[:16_384])
            client.h2.send_data(1, large[:16_384])
            client.flush()
            answer = await trailers_of(client)
        assert answer["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
        assert answer["chat-reconnect"] == "no"
        assert await bystander.texts() == ["small"]

    @pytest.mark.parametrize(
        "data",
        [b"\x0a", b"\x0a\x05ab", b"\x0a\x01\xff", b"\x08", b"\x12\x01\xff", b"\xff" * 11],
    )
    async def test_that_are_none(
        self, server: ChatServer, bystander: Membership, data: bytes
    ) -> None:
        """Bytes that are not a message end the session; earlier messages are published."""
        async with raw_client(server.port) as client:
            await enter(client)
            client.h2.send_data(1, framed(encode_request("first", "")) + framed(data))
            client.flush()
            answer = await trailers_of(client)
        assert answer["grpc-status"] == str(Status.INTERNAL.value)
        assert answer["grpc-message"].startswith("not a valid ChatReq: ")
        assert (answer["chat-reconnect"], answer["chat-resume"][-2:]) == ("no", "/2")
        assert await bystander.texts() == ["first"]

    @pytest.mark.parametrize("message_id", ["x" * 129, "世" * 129])
    async def test_an_id_that_is_too_long(
        self, channel: Channel, bystander: Membership, message_id: str
    ) -> None:
        """An invalid message ends the session; only earlier messages are published."""
        async with joined(channel) as ada:
            await ada.say("first")
            await ada.say("second", id=message_id)
            await ada.say("third")
            heard, end = await ada.last_words()
        assert [message.message for message in heard] == ["first"]
        assert (end.status, end.may_come_back) == (Status.INVALID_ARGUMENT, "no")
        assert end.message == ("the id of the message has 129 characters; at most 128 are allowed")
        assert await bystander.texts() == ["first"]

    async def test_the_longest_id(self, channel: Channel, bystander: Membership) -> None:
        """An id may have 128 characters of any kind."""
        async with joined(channel) as ada:
            await ada.say("hi", id="🚀" * 128)
            (message,) = await ada.hear()
        assert message.id == "🚀" * 128
        assert await bystander.texts() == ["hi"]

    async def test_an_id_with_another_text(self, channel: Channel, bystander: Membership) -> None:
        """A longer id ends the session, and its message is not published."""
        async with joined(channel, user="ada") as ada:
            await ada.say("hi", id="1")
            await ada.say("ho", id="1")
            heard, end = await ada.last_words()
        assert [message.message for message in heard] == ["hi"]
        assert end.status is Status.INVALID_ARGUMENT
        assert end.message == CONFLICT.replace("offset 1", "offset 2")
        assert await bystander.texts() == ["hi"]


async def enter(client: RawClient) -> None:
    client.h2.send_headers(1, request_headers(CHAT, chat_room="lobby"))
    client.flush()
    await client.wait_for(ResponseReceived, 1)


async def trailers_of(client: RawClient) -> dict[str, str]:
    """Return the last headers of stream 1."""
    await client.wait_for(StreamEnded, 1)
    headers = [event.headers for event in client.events if hasattr(event, "headers")]
    return dict(headers[-1])

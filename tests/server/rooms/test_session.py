"""Tests of server/rooms/session.py, over real connections: joining, messages and presence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from hpack import Encoder

from chatify_stream import Channel, ChatRsp, ChatServer, RoomOptions, Session, Status
from chatify_stream.messages.service.v1 import ChatRspKind
from chatify_stream.rooms import Retention
from chatify_stream.server import CHAT_PATHS
from tests.wire.raw import frame, frame_client, framed, request_headers

from ...support.frames import DATA, END_HEADERS, END_STREAM, HEADERS
from ...support.waiting import until
from .membership import (
    CHAT,
    End,
    Membership,
    channel_to,
    entering,
    joined,
    node_of,
    offsets,
    publish,
    refused,
    room_server,
)
from .moody_broker import MoodyBroker


@pytest.fixture
async def broker() -> MoodyBroker:
    return MoodyBroker(Retention(count=20))


@pytest.fixture
async def server(broker: MoodyBroker) -> AsyncIterator[ChatServer]:
    async with room_server(broker=broker) as server:
        yield server


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


class TestJoining:
    async def test_the_headers(self, server: ChatServer, channel: Channel) -> None:
        """The headers arrive at once, with the session id and the position of the room."""
        await publish(server, "a", "b")
        async with joined(channel) as ada, joined(channel) as bob:
            for member in (ada, bob):
                assert member.headers["chat-offset"] == "2"
                assert member.headers["chat-recovered"] == "false"
                assert (
                    member.headers["chat-epoch"] == (await server.rooms.history("lobby")).newest[0]
                )
            assert ada.headers["chat-session"] != bob.headers["chat-session"]

    async def test_names_of_any_script(self, server: ChatServer, channel: Channel) -> None:
        """Names may be sent as UTF-8 in -bin keys; a key and its twin name the same room."""
        async with (
            joined(channel, user="ada") as ada,
            entering(
                channel,
                [("chat-room-bin", b"lobby"), ("chat-user-bin", "世界 🚀".encode())],
            ) as bob,
        ):
            await bob.say("你好")
            (message,) = await ada.hear()
            assert (message.sender, message.message) == ("世界 🚀", "你好")
            assert await bob.hear() == [message]

    async def test_a_room_of_any_script(self, server: ChatServer, channel: Channel) -> None:
        """A room name may be in any script."""
        async with entering(channel, [("chat-room-bin", "大厅".encode())]) as ada:
            await ada.say("hi")
            await ada.hear()
            page = await server.rooms.list()
            assert [(room.name, room.users) for room in page.rooms] == [("大厅", 1)]

    async def test_guests(self, channel: Channel) -> None:
        """A client without a user name becomes a guest with a unique name."""
        async with joined(channel) as one, joined(channel) as two:
            await one.say("x")
            await two.say("y")
            senders = [message.sender for message in await one.hear(2)]
            assert senders[0] != senders[1]
            assert all(sender.startswith("guest-") for sender in senders)

    @pytest.mark.parametrize("path", CHAT_PATHS)
    async def test_every_path(self, channel: Channel, path: str) -> None:
        """Rooms work on every path of the method."""
        async with joined(channel, path=path) as ada:
            await ada.say("hi")
            assert await ada.texts() == ["hi"]

    async def test_many_rooms_on_one_connection(self, server: ChatServer, channel: Channel) -> None:
        """Each stream of a connection is a member of its own room."""
        async with joined(channel, "a") as a, joined(channel, "b") as b, joined(channel, "a") as c:
            await b.say("in b")
            await a.say("in a")
            assert await a.texts() == await c.texts() == ["in a"]
            assert await b.texts() == ["in b"]
            assert server.rooms.statistics().rooms == 2

    async def test_a_thousand_rooms(self, server: ChatServer) -> None:
        """A thousand rooms have separate members and messages, and are removed at the end."""
        async with AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(channel_to(server)) for _ in range(4)]
            members = [
                await stack.enter_async_context(joined(channels[number % 4], f"room {number}"))
                for number in range(1000)
            ]
            assert server.rooms.statistics().rooms == 1000
            for number, member in enumerate(members):
                await server.rooms.publish(f"room {number}", "bot", str(number))
                await member.say(f"in {number}")
            for number, member in enumerate(members):
                assert await member.texts(2) == [str(number), f"in {number}"]
            page = await server.rooms.list(limit=1000)
            assert {(room.newest.offset, room.users) for room in page.rooms} == {(2, 1)}
            assert len({room.newest.epoch for room in page.rooms}) == 1000

    async def test_a_rooms_statistics(self, server: ChatServer, channel: Channel) -> None:
        """The statistics count sessions, messages and deliveries."""
        async with joined(channel) as ada, joined(channel) as bob:
            await ada.say("x", "y")
            await ada.half_close()
            assert (await ada.end()).status is Status.OK
            await bob.hear(2)
            await until(lambda: server.rooms.statistics().sessions == 1)
            found = server.rooms.statistics()
            assert (found.rooms, found.sessions_opened, found.sessions_ended) == (1, 2, {"done": 1})
            assert (found.messages_published, found.deliveries) == (2, 4)


class TestDirectSessions:
    async def test_beside_rooms(self, server: ChatServer, channel: Channel) -> None:
        """A call without a room is a direct session, also with a user name."""
        async with joined(channel) as ada:
            for metadata in ({}, {"chat-user": "bob", "chat-history": "x"}):
                async with entering(channel, metadata.items()) as direct:
                    await direct.say("Gene")
                    assert await direct.hear() == [ChatRsp(message="Hello Gene")]
                    assert direct.headers == {}
                    await direct.half_close()
                    assert await direct.end() == End(Status.OK, "", {})
            await ada.say("hi")
            assert await ada.texts() == ["hi"]
        assert server.rooms.statistics().sessions_opened == 1

    async def test_byte_for_byte(self) -> None:
        """A direct session sends the same bytes whether or not there are rooms."""
        received = []
        for rooms in (RoomOptions(), None):
            async with ChatServer(rooms=rooms) as server:
                await server.start("127.0.0.1", 0)
                async with frame_client(server.port) as client:
                    fields = [(name, value, True) for name, value in request_headers(CHAT)]
                    client.send(frame(HEADERS, END_HEADERS, 1, Encoder().encode(fields)))
                    client.send(frame(DATA, 0, 1, framed(b"\n\x04Gene")))
                    assert await client.wait_for(DATA, 1) == framed(b"\n\x0aHello Gene")
                    client.send(frame(DATA, END_STREAM, 1, framed(b"")))
                    await client.wait_for(HEADERS, 1, which=1)
                received.append(client.received)
        assert received[0] == received[1]

    async def test_a_handler_of_ones_own(self) -> None:
        """A custom handler does not receive room sessions."""
        seen: list[Session] = []

        async def handler(session: Session) -> None:
            seen.append(session)

        async with ChatServer(handler=handler) as server:
            await server.start("127.0.0.1", 0)
            async with channel_to(server) as channel, joined(channel) as ada:
                await ada.say("hi")
                assert await ada.texts() == ["hi"]
        assert seen == []

    async def test_without_rooms(self) -> None:
        """A server without rooms rejects room sessions and serves the others."""
        async with ChatServer(rooms=None) as server:
            await server.start("127.0.0.1", 0)
            async with channel_to(server) as channel:
                end = await refused(channel, room="lobby")
                assert (end.status, end.message, end.trailers) == (
                    Status.UNIMPLEMENTED,
                    "rooms are disabled on this server",
                    {},
                )
                async with entering(channel, []) as direct:
                    await direct.say("Gene")
                    assert await direct.hear() == [ChatRsp(message="Hello Gene")]


class TestMessages:
    async def test_to_everybody(self, server: ChatServer, channel: Channel) -> None:
        """Every member, including the sender, receives a message with all its fields."""
        before = int(time.time() * 1000)
        async with channel_to(server) as other:
            async with joined(channel, user="ada") as ada, joined(other, user="bob") as bob:
                await ada.say("hi 世界", id="7")
                (own,) = await ada.hear()
                assert await bob.hear() == [own]
        assert own == ChatRsp(
            message="hi 世界", sender="ada", id="7", offset=1, sent_at_ms=own.sent_at_ms
        )
        assert before <= own.sent_at_ms <= time.time() * 1000

    async def test_in_one_order(self, server: ChatServer, channel: Channel) -> None:
        """Concurrent messages arrive at all members in one order, with contiguous offsets."""
        async with channel_to(server) as other:
            async with joined(channel, user="ada") as ada, joined(other, user="bob") as bob:
                texts = [str(number) for number in range(300)]
                await asyncio.gather(ada.say(*texts), bob.say(*texts))
                heard = await ada.hear(600)
                assert await bob.hear(600) == heard
        assert offsets(heard) == list(range(1, 601))
        for user in ("ada", "bob"):
            assert [m.message for m in heard if m.sender == user] == texts

    async def test_of_any_kind(self, channel: Channel) -> None:
        """Texts arrive unchanged: empty, long, in any script."""
        texts = ["", " ", "\0\n", "👩\u200d🚀 e\u0301", "x" * 60_000, "界" * 20_000]
        async with joined(channel) as ada:
            await ada.say(*texts)
            assert await ada.texts(len(texts)) == texts

    async def test_by_the_program(self, server: ChatServer, channel: Channel) -> None:
        """Messages of the embedding program arrive at the members."""
        async with joined(channel) as ada:
            position = await server.rooms.publish("lobby", "bot", "hi", id="1")
            (message,) = await ada.hear()
        assert (message.sender, message.message, message.id) == ("bot", "hi", "1")
        assert (ada.epoch, message.offset) == position

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_compressed(self, server: ChatServer, channel: Channel, encoding: str) -> None:
        """A client with compression is in the same room, and receives compressed messages."""
        async with joined(channel) as ada, joined(channel, compression=encoding) as bob:
            await bob.say("x" * 5000, "y")
            await ada.say("z" * 5000)
            assert await bob.hear(3) == await ada.hear(3)
            assert bob.stream._stream.inbox.encoding == encoding


class TestIds:
    async def test_again(self, server: ChatServer, channel: Channel) -> None:
        """A repeated id is not published again; its sender receives the first message again."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            await ada.say("hi", id="1")
            (first,) = await ada.hear()
            await ada.say("more")
            await ada.say("hi", id="1")
            assert [*await ada.hear(2)][1] == first
            await bob.say("end")
            assert await bob.texts(3) == ["hi", "more", "end"]
        assert (await server.rooms.history("lobby")).newest.offset == 3

    async def test_twice_at_once(self, channel: Channel) -> None:
        """An id that is sent twice in a row is published once and acknowledged."""
        async with joined(channel, user="ada") as ada:
            await ada.say("hi", "hi", "hi", id="1")
            await ada.say("end")
            heard = [message async for message in _until_end(ada)]
        assert offsets(heard)[-1] == 2
        assert {message.offset for message in heard[:-1]} == {1}

    async def test_from_another_session(self, channel: Channel) -> None:
        """A user who reconnects and repeats an id receives the copy, whatever the position."""
        async with joined(channel, user="ada") as ada:
            await ada.say("hi", id="1")
            (first,) = await ada.hear()
        for options in ({}, {"resume": f"{ada.epoch}/0"}):
            async with joined(channel, user="ada", **options) as again:
                if options:
                    assert await again.hear() == [first]
                await again.say("hi", id="1")
                assert await again.hear() == [first]
                await again.half_close()
                assert (await again.last_words())[0] == []

    async def test_of_another_user(self, channel: Channel) -> None:
        """Ids belong to one user in one room."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            async with joined(channel, "attic", user="ada") as elsewhere:
                for member, text in ((ada, "a"), (bob, "b"), (elsewhere, "c")):
                    await member.say(text, id="1")
                assert sorted(await ada.texts(2)) == ["a", "b"]
                assert await elsewhere.texts() == ["c"]

    async def test_with_another_text(self, server: ChatServer, channel: Channel) -> None:
        """A repeated id with another text ends the session; earlier messages are published."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            await ada.say("hi", id="1")
            await ada.say("ho", id="2")
            await ada.say("other", id="1")
            heard, end = await ada.last_words()
            assert [message.message for message in heard] == ["hi", "ho"]
            assert (end.status, end.message) == (
                Status.INVALID_ARGUMENT,
                "the id '1' was published with another text, at offset 1; "
                "a new message needs a new id",
            )
            assert (end.may_come_back, end.position) == ("no", f"{ada.epoch}/2")
            assert await bob.texts(2) == ["hi", "ho"]
            await bob.say("I am here")
            assert await bob.texts() == ["I am here"]


async def _until_end(member: Membership) -> AsyncIterator[ChatRsp]:
    while True:
        (message,) = await member.hear()
        yield message
        if message.message == "end":
            return


class TestHalfClose:
    async def test_with_messages_on_their_way(self, server: ChatServer, channel: Channel) -> None:
        """After a half-close the session ends OK once its own messages have arrived."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            texts = [str(number) for number in range(500)]
            await ada.say(*texts)
            await ada.half_close()
            heard, end = await ada.last_words()
            assert [message.message for message in heard] == texts
            assert (end.status, end.may_come_back) == (Status.OK, "no")
            assert end.position == f"{ada.epoch}/500"
            assert await bob.texts(500) == texts

    async def test_at_once(self, server: ChatServer, channel: Channel) -> None:
        """A session that half-closes at once ends at once."""
        await publish(server, "a")
        async with joined(channel) as ada:
            await ada.half_close()
            heard, end = await ada.last_words()
        assert (heard, end.status) == ([], Status.OK)
        assert end.position == f"{ada.epoch}/1"

    async def test_at_once_with_history(self, server: ChatServer, channel: Channel) -> None:
        """A half-closed session with history receives the history first."""
        await publish(server, "a", "b", "c")
        async with joined(channel, history="2") as ada:
            await ada.half_close()
            heard, end = await ada.last_words()
        assert [message.message for message in heard] == ["b", "c"]
        assert (end.status, end.position) == (Status.OK, f"{ada.epoch}/3")

    async def test_before_the_broker_has_published(
        self, broker: MoodyBroker, channel: Channel
    ) -> None:
        """A half-closed session waits for a slow broker."""
        gate = broker.close_gate("publish")
        async with joined(channel) as ada:
            await ada.say("x", "y")
            await ada.half_close()
            ending = asyncio.create_task(ada.last_words())
            await until(lambda: broker.waiting)
            assert not ending.done()
            gate.set()
            heard, end = await ending
        assert [message.message for message in heard] == ["x", "y"]
        assert end.status is Status.OK

    async def test_of_duplicates_and_nothing_else(self, channel: Channel) -> None:
        """A half-closed session receives copies of its duplicates."""
        async with joined(channel, user="ada") as ada:
            await ada.say("hi", id="1")
            await ada.hear()
        async with joined(channel, user="ada") as again:
            await again.say("hi", "hi", id="1")
            await again.half_close()
            heard, end = await again.last_words()
        assert offsets(heard) == [1, 1]
        assert end.status is Status.OK


class TestPresence:
    async def test_joins_and_leaves(self, channel: Channel) -> None:
        """With `presence`, joins and leaves arrive between the messages."""
        async with joined(channel, user="ada", events="presence") as ada:
            async with joined(channel, user="bob") as bob:
                assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.JOINED)]
                await bob.say("hi")
                await bob.half_close()
                assert [message.message for message in (await bob.last_words())[0]] == ["hi"]
            (message, leave) = await ada.hear(2)
            assert (message.message, message.offset) == ("hi", 1)
            assert leave == ChatRsp(sender="bob", kind=ChatRspKind.LEFT)

    async def test_only_who_wants_to_know(self, channel: Channel) -> None:
        """Without `presence` a member receives messages only, and never its own join."""
        async with joined(channel, user="ada") as ada:
            async with joined(channel, user="bob", events="presence") as bob:
                await ada.say("hi")
                assert await bob.texts() == await ada.texts() == ["hi"]

    async def test_two_sessions_of_one_user(self, server: ChatServer, channel: Channel) -> None:
        """A user joins with the first session and leaves with the last, even if that is lost."""
        async with joined(channel, user="ada", events="presence") as ada:
            async with channel_to(server) as other:
                async with joined(channel, user="bob") as first:
                    assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.JOINED)]
                    async with joined(other, user="bob", events="presence") as second:
                        await second.say("two")
                        assert await ada.texts() == await second.texts() == ["two"]
                        assert await server.rooms.presence("lobby") == ["ada", "bob"]
                        await first.half_close()
                        await first.last_words()
                        await second.say("one")
                        assert await ada.texts() == ["one"]
                        other.close()
            assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.LEFT)]
            assert await server.rooms.presence("lobby") == ["ada"]

    async def test_who_is_there(self, channel: Channel) -> None:
        """`users` sends each present user once, before new events."""
        async with joined(channel, user="bob"), joined(channel, user="bob"):
            async with joined(channel, user="ada", events="users") as ada:
                await ada.say("hi")
                assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.JOINED)]
                assert await ada.texts() == ["hi"]
                async with joined(channel, user="eve"):  # which it did not ask to be told
                    await ada.say("ho")
                    assert await ada.texts() == ["ho"]

    async def test_many_who_are_there(self, server: ChatServer, channel: Channel) -> None:
        """`users` sends any number of users, sorted by name."""
        broker = node_of(server).broker
        users = [f"{number:04} {'界' * 100}" for number in range(3000)]
        for user in users:
            await broker.enter("lobby", user, user)
        async with joined(channel, user="ada", events="users") as ada:
            assert [message.sender for message in await ada.hear(3000)] == users

    async def test_who_goes_while_a_session_catches_up(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session that received a user receives the leave of that user, too."""
        await publish(server, "1")
        keys = [("chat-room", "lobby"), ("chat-user", "ada"), ("chat-history", "1")]
        async with joined(channel, user="bob") as bob:
            first = broker.close_gate("read")
            async with entering(channel, [*keys, ("chat-events", "users,presence")]) as ada:
                await until(lambda: broker.waiting)
                second = broker.close_gate("read")
                first.set()
                assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.JOINED)]
                await bob.half_close()
                await bob.last_words()
                await until(lambda: broker.count("leave") == 1)
                second.set()
                assert offsets(await ada.hear()) == [1]
                assert await ada.hear() == [ChatRsp(sender="bob", kind=ChatRspKind.LEFT)]

    async def test_a_session_that_is_not_live_yet(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A user is present only while a session is live."""
        await publish(server, "1")
        gate = broker.close_gate("read")
        async with entering(channel, [("chat-room", "lobby"), ("chat-history", "1")]) as ada:
            await until(lambda: broker.waiting)
            assert await server.rooms.presence("lobby") == []
            gate.set()
            await ada.hear()
            await until(lambda: broker.count("enter") == 1)
            assert len(await server.rooms.presence("lobby")) == 1

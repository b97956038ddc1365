"""Tests of client/room_client.py, against our server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import UnionType

import pytest

from chatify_stream import (
    Channel,
    ChatServer,
    ClosedError,
    Position,
    RefusedError,
    RoomJoin,
    RoomMessage,
    RoomOptions,
    Status,
    StatusError,
    UsageError,
)
from chatify_stream.client import (
    Connected,
    Event,
    Gap,
    Joined,
    Left,
    Message,
    Reconnecting,
    RoomClient,
)
from chatify_stream.client.event_queue import MAX_EVENTS

from ..support.waiting import until
from ..wire.peers import refusing
from .scripted_room import QUICKLY, TIMEOUT

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def client(server: ChatServer, user: str = "ada", **options: object) -> RoomClient:
    options = {"room": "lobby", "user": user, "backoff": QUICKLY, **options}
    return RoomClient(f"127.0.0.1:{server.port}", **options)


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[ChatServer]:
    async with ChatServer(rooms=RoomOptions(**options)) as server:
        await server.start("127.0.0.1", 0)
        yield server


async def messages(chat: RoomClient, count: int) -> list[Message]:
    """Return the next messages, which must have no gap."""
    found: list[Message] = []
    async with asyncio.timeout(TIMEOUT):
        while len(found) < count:
            event = await chat.receive()
            assert event is not None, "the chat has ended"
            assert not isinstance(event, Gap)
            if isinstance(event, Message):
                found.append(event)
    return found


async def texts(chat: RoomClient, count: int) -> list[str]:
    return [message.text for message in await messages(chat, count)]


async def next_event(chat: RoomClient, kind: type[Event] | UnionType) -> Event:
    async with asyncio.timeout(TIMEOUT):
        async for event in chat:
            if isinstance(event, kind):
                return event
    raise AssertionError("the chat has ended")


class TestTalking:
    async def test_two_of_them(self, server: ChatServer) -> None:
        """Two clients get all messages in the same order, with all fields."""
        async with client(server, "ada") as ada, client(server, "世界") as other:
            first = await ada.send("hello")
            second = await other.send("你好")
            assert (first.offset, second.offset) == (1, 2)
            assert first.epoch == second.epoch
            for chat in (ada, other):
                one, two = await messages(chat, 2)
                assert (one.sender, one.text, one.position) == ("ada", "hello", first)
                assert (two.sender, two.text, two.position) == ("世界", "你好", second)
                assert (one.is_own, two.is_own) == (chat is ada, chat is other)
                assert abs(one.sent_at - datetime.now(UTC)) < timedelta(minutes=5)
                assert one.id != two.id
                assert chat.position == second

    async def test_the_common_loop(self, server: ChatServer) -> None:
        """Iteration yields the messages among other events."""
        heard = []
        async with client(server) as chat:
            for text in ("one", "two", "three"):
                await chat.send(text)
            async for event in chat:
                if isinstance(event, Message):
                    heard.append(event.text)
                    if event.text == "three":
                        break
        assert heard == ["one", "two", "three"]

    async def test_sends_at_once(self, server: ChatServer) -> None:
        """Concurrent sends are published in the order of the calls."""
        async with client(server) as chat:
            sent = [str(number) for number in range(2000)]
            positions = await asyncio.gather(*map(chat.send, sent))
            assert [position.offset for position in positions] == list(range(1, 2001))
            assert await texts(chat, 2000) == sent

    async def test_sending_only(self, server: ChatServer) -> None:
        """A program can send without receiving, and later receives everything."""
        async with client(server) as chat:
            for number in range(3 * MAX_EVENTS):
                await chat.send(str(number))
                assert len(chat._session.events) <= MAX_EVENTS
            assert await texts(chat, 3 * MAX_EVENTS) == [
                str(number) for number in range(3 * MAX_EVENTS)
            ]

    async def test_answering_while_reading(self, server: ChatServer) -> None:
        """A program that sends inside its receive loop does not block."""
        async with client(server, "bot") as bot, client(server) as chat:
            sending = asyncio.gather(*(chat.send(str(number)) for number in range(2000)))
            answered = 0
            async for event in bot:
                if isinstance(event, Message) and event.sender == "ada":
                    assert event.text == str(answered)
                    answered += 1
                    if answered % 10 == 0:
                        await bot.send("ten more")
                    if answered == 2000:
                        break
            await sending

    async def test_a_guest(self, server: ChatServer) -> None:
        """Without a user name the client is a guest and knows its name."""
        target = f"127.0.0.1:{server.port}"
        async with RoomClient(target, room="lobby") as one, RoomClient(target, room="lobby") as two:
            assert one.user != two.user
            await one.send("hi")
            (message,) = await messages(two, 1)
            assert (message.sender, message.is_own) == (one.user, False)
            (message,) = await messages(one, 1)
            assert message.is_own

    async def test_several_rooms(self, server: ChatServer) -> None:
        """Clients in several rooms can share a channel, which stays open."""
        async with Channel("127.0.0.1", server.port) as channel:
            async with (
                RoomClient(channel, room="one", user="ada") as one,
                RoomClient(channel, room="two", user="ada") as two,
            ):
                await one.send("in one")
                await two.send("in two")
                assert await texts(one, 1) == ["in one"]
                assert await texts(two, 1) == ["in two"]
                assert (one.room, two.room) == ("one", "two")
                assert one.session_id != two.session_id
            assert not channel.is_closed
        assert server.statistics().connections_opened == 1

    async def test_several_servers(self, server: ChatServer) -> None:
        """The first working target is used."""
        with refusing() as dead:
            target = [dead, f"dns:///127.0.0.1:{server.port}"]
            async with RoomClient(target, room="lobby", user="ada") as chat:
                await chat.send("hi")

    async def test_presence(self, server: ChatServer) -> None:
        """Joins and leaves of other users are events with presence."""
        async with client(server, "ada", presence=True) as ada, client(server, "bob") as bob:
            assert await next_event(ada, Joined) == Joined("bob")
            async with client(server, "grace"):
                assert await next_event(ada, Joined) == Joined("grace")
                async with client(server, "grace"), client(server, "ada"):
                    pass
            assert await next_event(ada, Joined | Left) == Left("grace")
            await bob.send("hi")
            assert isinstance(await next_event(bob, Message | Joined | Left), Message)


class TestHistory:
    async def test_asking(self, server: ChatServer) -> None:
        """`history` returns the newest messages."""
        async with client(server) as chat:
            assert await chat.history() == []
            sent = [await chat.send(str(number)) for number in range(5)]
            newest = await chat.history(3)
            assert [message.text for message in newest] == ["2", "3", "4"]
            assert [message.position for message in newest] == sent[2:]
            assert all(message.is_own for message in newest)
            assert await messages(chat, 5) == await chat.history()

    async def test_with_a_full_queue(self, server: ChatServer) -> None:
        """`history` works with a full queue."""
        async with client(server) as chat, client(server, "grace") as grace:
            await asyncio.gather(*(grace.send("x" * 1000) for _ in range(2 * MAX_EVENTS)))
            await until(lambda: chat._session.events.is_full, "the queue is full")
            assert len(await chat.history(7)) == 7
            assert await chat.users() == ["ada", "grace"]

    async def test_beginning_with_it(self, server: ChatServer) -> None:
        """With history, a client starts with the newest messages."""
        async with client(server) as chat:
            for number in range(5):
                await chat.send(str(number))
        async with client(server, history=2) as chat:
            assert chat.position is None
            assert await texts(chat, 2) == ["3", "4"]
            await chat.send("5")
            assert await texts(chat, 1) == ["5"]

    @pytest.mark.parametrize("as_text", [False, True])
    async def test_going_on(self, server: ChatServer, as_text: bool) -> None:
        """With resume, a client continues after an earlier client's last message."""
        async with client(server) as chat, client(server, "grace") as grace:
            for number in range(5):
                await grace.send(str(number))
            assert await texts(chat, 2) == ["0", "1"]
            position = chat.position
        assert position is not None
        resume = str(position) if as_text else position
        async with client(server, resume=resume) as chat:
            assert chat.position == position
            first = await chat.receive()
            assert isinstance(first, Connected)
            assert first.recovered is True
            assert await texts(chat, 3) == ["2", "3", "4"]

    async def test_who_is_there(self, server: ChatServer) -> None:
        """`users` returns the sorted names of the users."""
        async with client(server, "b"), client(server, "世界"), client(server, "a") as chat:
            await until(lambda: server.rooms.statistics().sessions == 3, "all are there")
            async with asyncio.timeout(TIMEOUT):
                while (users := await chat.users()) != ["a", "b", "世界"]:
                    assert set(users) <= {"a", "b", "世界"}

    @pytest.mark.parametrize("limit", [0, -1, 10**9, 1.5, "3", None, True])
    async def test_limits(self, server: ChatServer, limit: object) -> None:
        """An invalid limit is rejected."""
        async with client(server) as chat:
            with pytest.raises(
                UsageError, match="limit= must be a number from 1 to 999999999, not"
            ):
                await chat.history(limit)

    async def test_refused(self) -> None:
        """A rejected `history` raises, and the client continues."""
        calls = []

        async def on_join(join: RoomJoin) -> None:
            calls.append(join)
            if len(calls) == 2:
                raise RefusedError("once is enough")

        async with serving(on_join=on_join) as server, client(server) as chat:
            with pytest.raises(StatusError, match="once is enough"):
                await chat.history()
            await chat.send("hi")


class TestRefusing:
    async def test_a_message(self) -> None:
        """A rejected message raises RefusedError with the reason."""

        async def on_message(message: RoomMessage) -> str | None:
            if "spam" in message.text:
                raise RefusedError("no advertising")
            return message.text.upper()

        async with serving(on_message=on_message) as server, client(server) as chat:
            with pytest.raises(RefusedError, match="no advertising"):
                await chat.send("spam")
            await chat.send("hi")
            assert await texts(chat, 1) == ["HI"]

    async def test_a_user(self) -> None:
        """Entering raises the reason if the user is rejected."""

        async def on_join(join: RoomJoin) -> None:
            raise RefusedError("for the staff")

        async with serving(on_join=on_join) as server:
            with pytest.raises(StatusError, match="for the staff") as caught:
                async with client(server):
                    raise AssertionError("let in")
            assert caught.value.status is Status.PERMISSION_DENIED

    async def test_a_server_without_rooms(self) -> None:
        """Entering raises an error if the server has no rooms."""
        async with ChatServer(rooms=None) as server:
            await server.start("127.0.0.1", 0)
            with pytest.raises(StatusError, match="rooms are disabled"):
                async with client(server):
                    raise AssertionError("let in")

    async def test_a_repeated_id(self, server: ChatServer) -> None:
        """Sending an id again returns its first position."""
        async with client(server) as chat:
            first = await chat.send("hi", id="1")
            assert await chat.send("hi", id="1") == first
            second = await chat.send("hi", id="2")
            assert second.offset == first.offset + 1
            assert [each.id for each in await messages(chat, 2)] == ["1", "2"]

    async def test_too_large(self, server: ChatServer) -> None:
        """A message above max_message_size is rejected locally, and the client continues."""
        async with client(server) as chat:
            with pytest.raises(UsageError, match="at most 65536 are allowed in a room"):
                await chat.send("x" * 65536)
            with pytest.raises(UsageError, match="the message has"):
                await chat.send("界" * 22_000)
            await chat.send("x" * 65_400)

    async def test_too_large_for_the_server(self) -> None:
        """A message that is too large for the server ends the client with its error."""
        async with serving(max_message_size=1000) as server, client(server) as chat:
            with pytest.raises(StatusError, match=r"the message has .* at most 1000 are allowed"):
                await chat.send("x" * 1000)
        async with serving(max_message_size=100_000) as server:
            async with client(server, max_message_size=100_000) as chat:
                await chat.send("x" * 90_000)


class TestEnding:
    async def test_half_closing(self, server: ChatServer) -> None:
        """After a half-close the client receives its own messages, and then the end."""
        async with client(server) as chat:
            sends = [asyncio.create_task(chat.send(str(number))) for number in range(100)]
            await asyncio.sleep(0)
            await chat.half_close()
            assert all(send.done() for send in sends)
            with pytest.raises(ClosedError, match="half_close"):
                await chat.send("late")
            heard = [event.text async for event in chat if isinstance(event, Message)]
            assert heard == [str(number) for number in range(100)]
            assert await chat.receive() is None

    async def test_leaving_with_sends(self, server: ChatServer) -> None:
        """Leaving waits for sends of other tasks."""
        async with client(server) as chat:
            sends = [asyncio.create_task(chat.send(str(number))) for number in range(3000)]
            await asyncio.sleep(0)
        assert [(await send).offset for send in sends] == list(range(1, 3001))

    async def test_sent_away(self, server: ChatServer) -> None:
        """A user that an operator disconnects for good does not reconnect."""
        async with client(server) as chat:
            await chat.send("hi")
            assert server.rooms.disconnect("ada", reason="be nice") == 1
            with pytest.raises(StatusError, match="disconnected: be nice"):
                async for _ in chat:
                    pass
            with pytest.raises(StatusError, match="be nice"):
                await chat.send("but")

    async def test_sent_back(self, server: ChatServer) -> None:
        """A user that an operator asks to reconnect misses nothing."""
        async with client(server) as chat:
            await chat.send("one")
            session_id = chat.session_id
            server.rooms.disconnect("ada", reconnect=True)
            await server.rooms.publish("lobby", "grace", "two")
            await chat.send("three")
            assert await texts(chat, 3) == ["one", "two", "three"]
            assert chat.session_id != session_id

    async def test_too_slow(self) -> None:
        """A program that overflows the server's outbox loses its session, but no message."""
        async with serving(max_outbox=100_000) as server, client(server) as chat:
            sent = [f"{number:03} " + "x" * 50_000 for number in range(300)]
            for text in sent:
                await server.rooms.publish("lobby", "grace", text)
                await asyncio.sleep(0)
            assert await texts(chat, 300) == sent
            assert server.rooms.statistics().sessions_ended["slow_reader"] == 1

    async def test_cancelling_from_elsewhere(self, server: ChatServer) -> None:
        """`cancel` makes waiting methods raise ClosedError."""
        async with client(server) as chat:
            waiting = asyncio.create_task(chat.receive())
            await waiting  # for the session
            waiting = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            await chat.cancel()
            with pytest.raises(ClosedError, match="the client is closed"):
                await waiting


class TestCancelling:
    @pytest.mark.parametrize("seed", range(3))
    async def test_receives(self, server: ChatServer, seed: int) -> None:
        """Cancelling receives at any moment loses nothing."""
        chance = random.Random(seed)
        heard: list[str] = []
        async with client(server) as chat, client(server, "grace") as grace:
            sending = asyncio.gather(*(grace.send(str(number)) for number in range(500)))
            while len(heard) < 500:
                receiving = asyncio.create_task(chat.receive())
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                receiving.cancel()
                (event,) = await asyncio.gather(receiving, return_exceptions=True)
                if isinstance(event, Message):
                    heard.append(event.text)
            await sending
        assert heard == [str(number) for number in range(500)]

    @pytest.mark.parametrize("seed", range(3))
    async def test_sends(self, server: ChatServer, seed: int) -> None:
        """A cancelled send is published once or not at all, and does not affect others."""
        chance = random.Random(seed)
        loop = asyncio.get_running_loop()
        async with client(server) as chat:
            sends = {text: asyncio.create_task(chat.send(text)) for text in map(str, range(1500))}
            for send in chance.sample(list(sends.values()), 500):
                loop.call_later(chance.random() / 20, send.cancel)
            await asyncio.wait(sends.values())
            await chat.send("the end")
            log = [message.text for message in await chat.history(10_000)]
        assert len(log) == len(set(log))
        for text, send in sends.items():
            if not send.cancelled():
                assert log[(await send).offset - 1] == text


class TestMisuse:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"room": ""}, "the room name is empty"),
            ({"user": "a\tb"}, "control character"),
            ({"target": "http://chat"}, "is not an address"),
            ({"target": []}, "the list of addresses is empty"),
            ({"history": -1}, "history= must be a number from 0 to 999999999, not -1"),
            ({"history": "3"}, "history= must be a number"),
            ({"history": 3, "resume": "e/5"}, "pass history= or resume=, not both"),
            ({"resume": "5"}, "'5' is not a position"),
            ({"token": 5}, "token= must be a str or a function that returns one, not int"),
            ({"metadata": {"chat-user": "bob"}}, "use its arguments instead"),
        ],
    )
    def test_options(self, options: dict[str, object], reason: str) -> None:
        """Invalid arguments are rejected when the client is created."""
        with pytest.raises(UsageError, match=reason):
            RoomClient(**{"room": "lobby", "user": "ada", **options})

    def test_no_secrets_in_errors(self) -> None:
        """The error for an invalid token does not contain the token."""
        with pytest.raises(UsageError) as caught:
            RoomClient(room="lobby", token="s3cret token")
        assert "s3cret" not in str(caught.value)

    async def test_metadata_that_cannot_be_sent(self, server: ChatServer) -> None:
        """Metadata that cannot be sent is rejected on entering."""
        with pytest.raises(UsageError):
            async with client(server, metadata={"a b": "c"}):
                raise AssertionError("let in")

    @pytest.mark.parametrize(
        ("text", "message_id", "reason"),
        [
            (5, None, "a message must be a str, not int"),
            (b"hi", None, "a message must be a str, not bytes"),
            ("hi", 5, "the id of a message must be a str, not int"),
            ("hi", "x" * 129, "has 129 characters; at most 128"),
            ("hi", "\udcff", "the id of the message is not valid Unicode"),
            ("\udcff", None, "the message is not valid Unicode"),
        ],
    )
    async def test_messages(
        self, server: ChatServer, text: object, message_id: object, reason: str
    ) -> None:
        """An invalid message is rejected, and the client continues."""
        async with client(server) as chat:
            with pytest.raises(UsageError, match=reason):
                await chat.send(text, id=message_id)
            await chat.send("hi")

    async def test_outside_of_async_with(self) -> None:
        """A client that was not entered raises an error that says what to do."""
        chat = RoomClient("127.0.0.1:1", room="lobby", user="ada", resume="e/5")
        for attempt in (chat.send("hi"), chat.receive(), chat.history(), chat.half_close()):
            with pytest.raises(UsageError, match="async with"):
                await attempt
        assert (chat.room, chat.user, chat.session_id) == ("lobby", "ada", None)
        assert chat.position == Position("e", 5)

    async def test_cancelled_before_it_begins(self) -> None:
        """A client that was cancelled cannot be entered."""
        chat = RoomClient("127.0.0.1:1", room="lobby")
        await chat.cancel()
        with pytest.raises(UsageError, match="can be entered once"):
            await chat.__aenter__()

    async def test_after_leaving(self, server: ChatServer) -> None:
        """After leaving, the client is closed and cannot be entered again."""
        async with client(server) as chat:
            pass
        for attempt in (chat.send("hi"), chat.receive(), chat.users()):
            with pytest.raises(ClosedError, match="the client is closed"):
                await attempt
        with pytest.raises(UsageError, match="can be entered once"):
            await chat.__aenter__()

    async def test_two_readers(self, server: ChatServer) -> None:
        """A second task that receives at the same time raises UsageError."""
        async with client(server) as chat:
            assert isinstance(await chat.receive(), Connected)
            first = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="another task"):
                await chat.receive()
            await chat.send("hi")
            assert isinstance(await first, Message)

    async def test_an_exception_in_the_program(self, server: ChatServer) -> None:
        """An exception in the block ends the session and is raised."""
        with pytest.raises(KeyError):
            async with client(server):
                raise KeyError
        await until(lambda: not server.rooms.statistics().sessions, "the session has ended")


def test_events_can_be_kept() -> None:
    """Events are values, which can be compared and put into sets."""
    assert {Joined("a"), Joined("a"), Left("a")} == {Joined("a"), Left("a")}
    assert Reconnecting(1, 0.5, OSError("x")) != Reconnecting(2, 0.5, OSError("x"))

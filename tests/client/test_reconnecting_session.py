"""Tests of client/session.py, against servers that do what the test says."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chatify_stream import (
    CallError,
    CancelledCallError,
    Channel,
    ClosedError,
    DeadlineExceededError,
    Position,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.client import (
    Connected,
    Event,
    Gap,
    Joined,
    Message,
    Reconnecting,
    RoomClient,
)
from chatify_stream.client.event_queue import MAX_EVENTS
from chatify_stream.messages.service.v1 import ChatRspKind

from ..support.waiting import until
from ..wire.peers import refusing
from .scripted_room import QUICKLY, TIMEOUT, RoomCall, Script, come_back, scripted, stay_away

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def client(target: str | Channel, **options: object) -> RoomClient:
    return RoomClient(target, **{"room": "lobby", "user": "ada", "backoff": QUICKLY, **options})


async def gone(call: RoomCall) -> None:
    """Waits for the client to give the call up."""
    with pytest.raises(CancelledCallError):
        await call.session.receive()


async def idle(call: RoomCall) -> None:
    """Lets the client in, and waits for it to leave."""
    await call.greet()
    await call.half_closed()


def fails(error: Exception) -> Script:
    async def script(call: RoomCall) -> None:
        raise error

    return script


async def events(chat: RoomClient, count: int) -> list[Event | None]:
    return [await chat.receive() for _ in range(count)]


def offsets(told: list[Event | None]) -> list[int]:
    return [event.position.offset for event in told if isinstance(event, Message)]


class TestEntering:
    async def test_let_in(self) -> None:
        """The first event says where the room is; then comes what happens."""

        async def script(call: RoomCall) -> None:
            assert call.metadata["chat-room"] == "lobby"
            assert call.metadata["chat-user"] == "ada"
            assert not {"chat-resume", "chat-history", "chat-events"} & call.metadata.keys()
            await call.greet(7)
            await call.publish(8)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            assert chat.position == Position("e", 7)
            first, second = await events(chat, 2)
            assert first == Connected("s", Position("e", 7), None)
            assert offsets([second]) == [8]
            assert chat.position == Position("e", 8)

    async def test_refused(self) -> None:
        """A client that is not let in is told why."""
        async with scripted(fails(stay_away(text="only for the staff"))) as target:
            with pytest.raises(StatusError, match="only for the staff"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_asked_to_come_back(self) -> None:
        """A server that asks to come back is tried again."""
        again = fails(come_back(Status.RESOURCE_EXHAUSTED))
        async with scripted(again, again, idle) as target, client(target) as chat:
            assert isinstance(await chat.receive(), Connected)

    async def test_asked_to_come_back_too_late(self) -> None:
        """When that would be after the time to connect, the client is told so."""
        later = come_back(text="later", retry_after_ms="60000")
        async with scripted(fails(later)) as target:
            with pytest.raises(UnavailableError, match="later"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_what_may_pass(self) -> None:
        """Other failures are told at once, those included that may pass."""
        async with scripted(fails(StatusError(Status.INTERNAL, "oh no"))) as target:
            with pytest.raises(StatusError, match="oh no"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_nobody_there(self) -> None:
        """So is a server that cannot be reached."""
        with refusing() as dead:
            with pytest.raises(UnavailableError, match=f"cannot connect to {dead}"):
                async with client(dead):
                    raise AssertionError("it was let in")

    async def test_waiting_for_ready(self) -> None:
        """A client that waits for ready is told only what cannot pass."""
        trouble = fails(StatusError(Status.INTERNAL, "oh no"))
        async with scripted(trouble, trouble, idle) as target:
            async with client(target, wait_for_ready=True) as chat:
                assert isinstance(await chat.receive(), Connected)
        async with scripted(trouble, fails(stay_away(text="never"))) as target:
            with pytest.raises(StatusError, match="never"):
                async with client(target, wait_for_ready=True):
                    raise AssertionError("it was let in")

    async def test_no_answer(self) -> None:
        """A server that does not answer is given up after the time to connect."""
        async with scripted(gone) as target:
            with pytest.raises(DeadlineExceededError, match="did not let the client"):
                async with client(target, connect_timeout=0.05):
                    raise AssertionError("it was let in")

    async def test_cancelled(self) -> None:
        """Entering can be cancelled, and leaves nothing."""
        is_called = asyncio.Event()

        async def script(call: RoomCall) -> None:
            is_called.set()
            await gone(call)

        async with scripted(script) as target:
            entering = asyncio.create_task(client(target).__aenter__())
            await is_called.wait()
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering

    async def test_ended_meanwhile(self) -> None:
        """A client that is cancelled from elsewhere while it enters does not come in."""
        is_called, may_go_on = asyncio.Event(), asyncio.Event()

        async def script(call: RoomCall) -> None:
            is_called.set()
            await may_go_on.wait()
            await call.greet()
            await gone(call)

        async with scripted(script) as target, Channel(target=target) as channel:
            chat = client(channel)
            entering = asyncio.create_task(chat.__aenter__())
            await is_called.wait()
            await chat.cancel()
            may_go_on.set()
            with pytest.raises(ClosedError):
                await entering


class TestComingBack:
    async def test_resuming(self) -> None:
        """After a loss the client goes on where it was; the program sees it happen."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await call.publish(1)
            raise come_back(text="the server is shutting down")

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/1"
            await call.greet(3, recovered=True)
            for offset in (2, 3, 4):
                await call.publish(offset)
            await call.half_closed()

        async with scripted(first, second) as target, client(target) as chat:
            told = await events(chat, 7)
            assert offsets(told) == [1, 2, 3, 4]
            lost, back = told[2:4]
            assert isinstance(lost, Reconnecting)
            assert (lost.attempt, str(lost.error)) == (
                1,
                "UNAVAILABLE: the server is shutting down",
            )
            assert 0 < lost.delay < 0.1
            assert back == Connected("s", Position("e", 3), recovered=True)

    async def test_in_vain(self) -> None:
        """Each attempt that fails is told, with its number."""
        trouble = fails(UnavailableError(Status.UNAVAILABLE, "not yet"))

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first, trouble, trouble, idle) as target, client(target) as chat:
            told = await events(chat, 5)
            attempts = [each.attempt for each in told if isinstance(each, Reconnecting)]
            assert attempts == [1, 2, 3]
            assert isinstance(told[-1], Connected)

    async def test_another_log(self) -> None:
        """A log that was lost is a gap; what the new one has is asked for, and follows."""

        async def first(call: RoomCall) -> None:
            await call.greet(5)
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/5"
            await call.greet(2, epoch="f")
            await gone(call)

        async def third(call: RoomCall) -> None:
            assert "chat-resume" not in call.metadata
            assert call.metadata["chat-history"] == "999999999"
            await call.greet(2, epoch="f")
            await call.publish(1)
            await call.publish(2)
            await call.half_closed()

        async with scripted(first, second, third) as target, client(target) as chat:
            told = await events(chat, 6)
            assert told[2] == Connected("s", Position("f", 2), recovered=False)
            assert told[3] == Gap(Position("e", 6), Position("f", 0))
            assert offsets(told[4:]) == [1, 2]
            assert chat.position == Position("f", 2)

    async def test_too_late(self) -> None:
        """What the room does not keep any more is a gap; the rest follows."""

        async def first(call: RoomCall) -> None:
            await call.greet(5)
            raise come_back()

        async def second(call: RoomCall) -> None:
            await call.greet(9)
            await gone(call)

        async def third(call: RoomCall) -> None:
            await call.greet(9)
            await call.publish(8)
            await call.publish(9)
            await call.half_closed()

        async with scripted(first, second, third) as target, client(target) as chat:
            told = await events(chat, 6)
            assert told[3] == Gap(Position("e", 6), Position("e", 7))
            assert offsets(told[4:]) == [8, 9]

    async def test_from_an_earlier_client(self) -> None:
        """The position of an earlier client may be too old, which is a gap from the beginning."""

        async def first(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "old/5"
            await call.greet(0)
            await call.publish(1)
            await call.half_closed()

        async with scripted(first) as target, client(target, resume="old/5") as chat:
            _, gap, message = await events(chat, 3)
            assert gap == Gap(Position("old", 6), Position("e", 0))
            assert offsets([message]) == [1]

    async def test_history_again(self) -> None:
        """A session that is lost before its history has come is followed by one that asks again."""

        async def first(call: RoomCall) -> None:
            assert call.metadata["chat-history"] == "2"
            await call.greet(5)
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-history"] == "2"
            await call.greet(5)
            await call.publish(4)
            raise come_back()

        async def third(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/4"
            await call.greet(5, recovered=True)
            await call.publish(5)
            await call.half_closed()

        async with scripted(first, second, third) as target, client(target, history=2) as chat:
            assert chat.position is None
            told = await events(chat, 7)
            assert offsets(told) == [4, 5]

    async def test_for_good(self) -> None:
        """When there is no way back every method says why, and leaving does not repeat it."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.publish(1)
            await call.hear()
            raise stay_away(text="disconnected: by an operator")

        async with scripted(script) as target, client(target) as chat:
            with pytest.raises(StatusError, match="by an operator"):
                await chat.send("hi")
            assert offsets(await events(chat, 2)) == [1]
            for attempt in (chat.receive, chat.receive, lambda: chat.send("hi")):
                with pytest.raises(StatusError, match="by an operator"):
                    await attempt()

    async def test_for_good_and_nobody_knows(self) -> None:
        """An end that no method has told is raised on leaving."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            raise stay_away(text="disconnected: by an operator")

        async with scripted(script) as target:
            with pytest.raises(StatusError, match="by an operator"):
                async with client(target) as chat:
                    await until(lambda: chat._session.error, "it has ended")

    async def test_ended_ok(self) -> None:
        """A server may end the chat, and all is well."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.publish(1)

        async with scripted(script) as target, client(target) as chat:
            assert offsets([event async for event in chat]) == [1]
            assert await chat.receive() is None
            with pytest.raises(ClosedError, match="the server has ended the session"):
                await chat.send("hi")

    async def test_what_makes_no_sense(self) -> None:
        """A message that makes no sense ends the session, and the next may be better."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await call.publish(1, sent_at_ms=2**62)
            await gone(call)

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/0"
            await idle(call)

        async with scripted(first, second) as target, client(target) as chat:
            _, lost, _ = await events(chat, 3)
            assert isinstance(lost, Reconnecting)
            assert "sent an invalid time" in str(lost.error)

    async def test_the_name_that_the_server_gives(self) -> None:
        """Where the server says who the user is, that stays so in the next session."""

        async def first(call: RoomCall) -> None:
            assert "chat-user" not in call.metadata
            await call.greet(0, user_bin="世界".encode())
            await call.publish(1, sender="世界")
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-user-bin"] == "世界".encode()
            await idle(call)

        async with scripted(first, second) as target:
            async with client(target, user=None, token=lambda: "t") as chat:
                assert chat.user == "世界"
                _, message, *_ = await events(chat, 4)
                assert isinstance(message, Message)
                assert message.is_own

    async def test_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        """Whoever looks for it finds in the log why the client comes back."""
        caplog.set_level(logging.DEBUG, "chatify_stream.client")

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(text="shutting down")

        async with scripted(first, idle) as target, client(target) as chat:
            await events(chat, 3)
        assert "room 'lobby': reconnecting in" in caplog.text
        assert "shutting down" in caplog.text


class TestSending:
    async def test_again(self) -> None:
        """What is not acknowledged is sent again, with its id, after all that was missed."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            self.sent = [await call.hear() for _ in range(3)]
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/0"
            await call.greet(2, recovered=True)
            await call.publish(1)
            await call.acknowledge(2, self.sent[1])
            assert [await call.hear(), await call.hear()] == [self.sent[0], self.sent[2]]
            await call.acknowledge(3, self.sent[0])
            await call.acknowledge(4, self.sent[2])
            await call.half_closed()

        async with scripted(first, second) as target, client(target) as chat:
            positions = await asyncio.gather(*map(chat.send, ("a", "b", "c")))
            assert [each.offset for each in positions] == [3, 2, 4]
            assert [each.name for each in self.sent] == ["a", "b", "c"]
            assert offsets(await events(chat, 7)) == [1, 2, 3, 4]

    async def test_published_before(self) -> None:
        """The copy of an id that was published long before acknowledges, and is no new message."""

        async def script(call: RoomCall) -> None:
            await call.greet(7)
            await call.acknowledge(3)
            await call.publish(8)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            assert await chat.send("hi", id="x") == Position("e", 3)
            assert offsets(await events(chat, 2)) == [8]

    async def test_cancelled(self) -> None:
        """A send that is cancelled is not repeated, and the others go on."""
        is_sent = asyncio.Event()

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            assert [(await call.hear()).name, (await call.hear()).name] == ["a", "b"]
            is_sent.set()
            await call.hear()
            raise come_back()

        async def second(call: RoomCall) -> None:
            await call.greet(0, recovered=True)
            assert (await call.acknowledge(1)).name == "b"
            assert (await call.acknowledge(2)).name == "c"
            await call.half_closed()

        async with scripted(first, second) as target, client(target) as chat:
            sends = [asyncio.create_task(chat.send(text)) for text in "ab"]
            await is_sent.wait()
            sends[0].cancel()
            third = asyncio.create_task(chat.send("c"))
            with pytest.raises(asyncio.CancelledError):
                await sends[0]
            assert (await sends[1]).offset == 1
            assert (await third).offset == 2


class TestTokens:
    async def test_a_new_one_for_each_session(self) -> None:
        """Each session has a token of its own."""

        def with_token(token: str, then: Script) -> Script:
            async def script(call: RoomCall) -> None:
                assert call.metadata["authorization"] == f"Bearer {token}"
                await then(call)

            return script

        async def lost(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        tokens = iter("abc")
        sessions = [with_token("a", lost), with_token("b", lost), with_token("c", idle)]
        async with scripted(*sessions) as target:
            async with client(target, token=lambda: next(tokens)) as chat:
                await events(chat, 5)

    async def test_async(self) -> None:
        """A token may have to be waited for."""

        async def token() -> str:
            await asyncio.sleep(0)
            return "t"

        async def script(call: RoomCall) -> None:
            assert call.metadata["authorization"] == "Bearer t"
            await idle(call)

        async with scripted(script) as target, client(target, token=token):
            pass

    async def test_expired(self) -> None:
        """When a token has expired the next session begins at once, with another one."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(Status.UNAUTHENTICATED, "the token has expired")

        async with scripted(first, idle) as target:
            async with client(target, token=lambda: "t") as chat:
                _, lost, back = await events(chat, 3)
                assert isinstance(lost, Reconnecting)
                assert lost.delay == 0
                assert isinstance(back, Connected)

    async def test_refused(self) -> None:
        """A server that does not take the token, and says so for good, is not tried again."""
        async with scripted(fails(stay_away(Status.UNAUTHENTICATED, "who are you?"))) as target:
            with pytest.raises(StatusError, match="who are you"):
                async with client(target, token=lambda: "t"):
                    raise AssertionError("it was let in")

    async def test_none_to_be_had(self) -> None:
        """A token that cannot be had fails entering, and the cause is there."""

        def token() -> str:
            raise OSError("the key is away")

        with pytest.raises(
            UnavailableError, match=r"no token for the call: .*the key is away"
        ) as caught:
            async with client("127.0.0.1:1", token=token):
                raise AssertionError("it was let in")
        assert isinstance(caught.value.__cause__, OSError)

    async def test_none_to_be_had_for_a_while(self) -> None:
        """Later it is waited for, as a server is."""
        tokens = iter(["a", OSError("the key is away"), "b"])

        def token() -> str:
            each = next(tokens)
            if isinstance(each, str):
                return each
            raise each

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first, idle) as target, client(target, token=token) as chat:
            told = await events(chat, 4)
            errors = [str(each.error) for each in told if isinstance(each, Reconnecting)]
            assert "the key is away" in errors[1]

    async def test_logged_out(self) -> None:
        """What the program raises with a status is taken as the server's."""
        tokens = iter(["a"])

        def token() -> str:
            for each in tokens:
                return each
            raise StatusError(Status.UNAUTHENTICATED, "logged out")

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first) as target, client(target, token=token) as chat:
            await events(chat, 2)
            with pytest.raises(StatusError, match="logged out"):
                await chat.receive()

    @pytest.mark.parametrize("token", [None, b"t", 5])
    async def test_what_is_no_token(self, token: object) -> None:
        """A token is a text."""
        with pytest.raises(UsageError, match="a token must be a str, not"):
            async with client("127.0.0.1:1", token=lambda: token):
                raise AssertionError("it was let in")

    async def test_one_that_does_not_come(self) -> None:
        """A token that does not come in time is no token."""

        async def token() -> str:
            await asyncio.sleep(3600)
            return "t"

        with pytest.raises(UnavailableError, match="no token for the call"):
            async with client("127.0.0.1:1", token=token, connect_timeout=0.05):
                raise AssertionError("it was let in")


FULL = MAX_EVENTS - 1
"""So many messages fill the queue, behind the `Connected`."""


async def publish(call: RoomCall, first: int, last: int) -> None:
    for offset in range(first, last + 1):
        await call.publish(offset)


async def end_behind(call: RoomCall) -> None:
    """Says more than fits before a message is acknowledged, and ends with the half-close."""
    await call.greet(0)
    await publish(call, 1, FULL)
    request = await call.hear()
    await publish(call, FULL + 1, FULL + 9)
    await call.acknowledge(FULL + 10, request)
    await call.half_closed()


async def fall_behind(chat: RoomClient, taken: int) -> list[Event | None]:
    """The other side of that; where something is taken, the end is waited for."""
    connection = chat._session._connection
    await until(lambda: chat._session.events.is_full, "the queue is full")
    await chat.send("hi")
    await chat.half_close()
    told = await events(chat, taken)
    await until(lambda: connection._is_ended or not taken, "the end has come")
    return told


class TestBounds:
    async def test_a_slow_program(self) -> None:
        """A program that takes its events slowly holds up its server, and gets each once."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, 5000)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            assert isinstance(await chat.receive(), Connected)
            for offset in range(1, 5001):
                assert len(queue) <= MAX_EVENTS
                assert offsets([await chat.receive()]) == [offset]

    async def test_behind(self) -> None:
        """What came for a send, and did not fit, is asked for once the rest was taken."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, FULL)
            request = await call.hear()
            await publish(call, FULL + 1, FULL + 500)
            await call.acknowledge(FULL + 501, request)
            await gone(call)

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == f"e/{FULL}"
            await call.greet(FULL + 501, recovered=True)
            await publish(call, FULL + 1, FULL + 501)
            await call.half_closed()

        async with scripted(first, second) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            assert await chat.send("hi") == Position("e", FULL + 501)
            assert len(queue) == MAX_EVENTS
            told = await events(chat, 1 + FULL + 1 + 501)
            assert offsets(told) == list(range(1, FULL + 502))
            assert told[1 + FULL] == Connected("s", Position("e", FULL + 501), recovered=True)

    async def test_behind_and_lost(self) -> None:
        """A session in whose place another comes meanwhile is only for sending."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, FULL)
            request = await call.hear()
            await publish(call, FULL + 1, FULL + 1)
            await call.acknowledge(FULL + 2, request)
            await call.hear()
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert not {"chat-resume", "chat-history"} & call.metadata.keys()
            await call.greet(FULL + 2)
            await call.acknowledge(FULL + 3)
            await gone(call)

        async def third(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == f"e/{FULL}"
            await call.greet(FULL + 3, recovered=True)
            await publish(call, FULL + 1, FULL + 3)
            await call.half_closed()

        async with scripted(first, second, third) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            assert (await chat.send("one")).offset == FULL + 2
            assert (await chat.send("two")).offset == FULL + 3
            assert len(queue) == MAX_EVENTS
            told = await events(chat, 1 + FULL + 1 + 3)
            assert offsets(told) == list(range(1, FULL + 4))

    @pytest.mark.parametrize("taken_before", [0, 600])
    async def test_behind_at_the_end(self, taken_before: int) -> None:
        """After the end, too, what did not fit is asked for."""

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == f"e/{FULL}"
            await call.greet(FULL + 10, recovered=True)
            await publish(call, FULL + 1, FULL + 10)
            await call.half_closed()

        async with scripted(end_behind, second) as target, client(target) as chat:
            told = await fall_behind(chat, taken_before)
            told += [event async for event in chat]
            assert offsets(told) == list(range(1, FULL + 11))

    async def test_leaving_behind_at_the_end(self) -> None:
        """Who leaves then does not want it."""
        async with scripted(end_behind) as target, client(target) as chat:
            await fall_behind(chat, 600)

    async def test_behind_with_joins(self) -> None:
        """Joins that did not fit are not told; the program is told of the new session."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            for _ in range(FULL):
                await call.tell(ChatRspKind.JOINED, "grace")
            request = await call.hear()
            await call.tell(ChatRspKind.JOINED, "barbara")
            await call.acknowledge(1, request)
            await gone(call)

        async def second(call: RoomCall) -> None:
            await call.greet(1, recovered=True)
            await call.publish(1)
            await call.half_closed()

        async with scripted(first, second) as target, client(target, presence=True) as chat:
            await until(lambda: chat._session.events.is_full, "the queue is full")
            await chat.send("hi")
            _, *joins, connected, message = await events(chat, 1 + FULL + 2)
            assert set(joins) == {Joined("grace")}
            assert isinstance(connected, Connected)
            assert offsets([message]) == [1]

    async def test_lost_while_nobody_takes(self) -> None:
        """However often a session is lost while nobody takes events, those that wait stay few."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, FULL)
            await call.hear()
            raise come_back()

        async def flaky(call: RoomCall) -> None:
            await call.greet(FULL, recovered="chat-resume" in call.metadata)
            raise come_back()

        async def last(call: RoomCall) -> None:
            await call.greet(FULL, recovered="chat-resume" in call.metadata)
            await call.acknowledge(FULL + 1)
            await call.half_closed()

        async with scripted(first, *[flaky] * 20, last) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            assert (await chat.send("hi")).offset == FULL + 1
            assert len(queue) == MAX_EVENTS


class TestLeaving:
    async def test_what_is_not_acknowledged(self) -> None:
        """Leaving waits for what is not acknowledged, and then half-closes."""
        may_answer = asyncio.Event()

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            request = await call.hear()
            await may_answer.wait()
            await call.acknowledge(1, request)
            await call.half_closed()
            await call.publish(2)

        async with scripted(script) as target:
            async with client(target) as chat:
                sending = asyncio.create_task(chat.send("hi"))
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(may_answer.set)
            assert await sending == Position("e", 1)

    async def test_a_full_queue(self) -> None:
        """Whatever has come and was not taken does not hold it up."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, 3000)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            await until(lambda: chat._session.events.is_full, "the queue is full")

    async def test_when_the_time_is_over(self) -> None:
        """After the time to close the session is given up, and whoever sends is told."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.hear()
            await gone(call)

        async with scripted(script) as target:
            async with client(target, close_timeout=0.05) as chat:
                sending = asyncio.create_task(chat.send("hi"))
                await asyncio.sleep(0)
            with pytest.raises(ClosedError, match="the client is closed"):
                await sending

    async def test_lost(self) -> None:
        """A session that is lost on leaving, with nothing to be acknowledged, is enough."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            raise come_back()

        async with scripted(script) as target, client(target):
            pass

    async def test_lost_with_something_to_send(self) -> None:
        """Where something waits to be acknowledged the client comes back for it."""
        is_sent = asyncio.Event()

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await call.hear()
            is_sent.set()
            raise come_back()

        async def second(call: RoomCall) -> None:
            await call.greet(0, recovered=True)
            await call.acknowledge(1)
            await call.half_closed()

        async with scripted(first, second) as target:
            async with client(target) as chat:
                sending = asyncio.create_task(chat.send("hi"))
                await is_sent.wait()
            assert await sending == Position("e", 1)

    async def test_while_it_is_away(self) -> None:
        """A client that waits to come back, and has nothing to send, leaves at once."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(retry_after_ms="3600000")

        async with scripted(script) as target, client(target, close_timeout=TIMEOUT * 2) as chat:
            _, lost = await events(chat, 2)
            assert isinstance(lost, Reconnecting)

    async def test_an_exception(self) -> None:
        """An exception ends the session at once, and goes on."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await gone(call)

        async with scripted(script) as target:
            with pytest.raises(KeyError):
                async with client(target):
                    raise KeyError

    async def test_at_once(self) -> None:
        """So it is before its task has begun."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await gone(call)

        async with scripted(script) as target, Channel(target=target) as channel:
            chat = client(channel)
            await chat.__aenter__()
            await chat.cancel()
            await chat.cancel()
            with pytest.raises(ClosedError):
                await chat.receive()

    async def test_cancelled(self) -> None:
        """Leaving can be cancelled, and leaves nothing."""
        is_half_closed = asyncio.Event()

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            is_half_closed.set()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(3600)
            raise CancelledCallError(Status.CANCELLED)

        async def stay(target: str) -> None:
            async with client(target, close_timeout=TIMEOUT * 2):
                pass

        async with scripted(script) as target:
            staying = asyncio.create_task(stay(target))
            await is_half_closed.wait()
            staying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await staying

    async def test_an_error_on_leaving(self) -> None:
        """What the server says to the half-close is raised."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            raise stay_away(text="not so")

        async with scripted(script) as target:
            with pytest.raises(StatusError, match="not so"):
                async with client(target):
                    pass

    async def test_half_closing(self) -> None:
        """After a half-close what comes can be read to the end, across a loss."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            await call.publish(1)
            raise come_back()

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == "e/1"
            await call.greet(2, recovered=True)
            await call.publish(2)
            await call.half_closed()
            await call.publish(3)

        async with scripted(first, second) as target, client(target) as chat:
            await chat.half_close()
            with pytest.raises(ClosedError, match="half_close"):
                await chat.send("hi")
            assert offsets([event async for event in chat]) == [1, 2, 3]


class TestFaults:
    async def test_writing_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fault in the writing half ends the chat, and is told."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await gone(call)

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        async with scripted(script) as target, client(target) as chat:
            connection = chat._session._connection
            monkeypatch.setattr(connection, "send", broken)
            with pytest.raises(ZeroDivisionError):
                await chat.send("hi")
            with pytest.raises(ZeroDivisionError):
                await events(chat, 2)

    async def test_the_channel_is_closed(self) -> None:
        """A channel that is closed by whoever has it ends the chat."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            with pytest.raises((CallError, asyncio.CancelledError)):
                await call.session.receive()

        async with scripted(script) as target, Channel(target=target) as channel:
            async with client(channel) as chat:
                channel.close()
                with pytest.raises(ClosedError, match="the channel was closed"):
                    await events(chat, 2)

"""Tests of client/reconnecting_session.py, against scripted servers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chatify_stream import (
    CallError,
    Channel,
    ClosedError,
    DeadlineExceededError,
    Position,
    Status,
    StatusError,
    UnavailableError,
)
from chatify_stream.client import (
    Connected,
    Gap,
    Message,
    Reconnecting,
)

from ..support.waiting import until
from ..wire.peers import refusing
from .reconnecting import client, events, fails, gone, idle, offsets
from .scripted_room import (
    RoomCall,
    come_back,
    scripted,
    stay_away,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class TestEntering:
    async def test_let_in(self) -> None:
        """The first event is `Connected`, with the newest position of the room."""

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
        """Entering raises the error of a server that rejects the client."""
        async with scripted(fails(stay_away(text="only for the staff"))) as target:
            with pytest.raises(StatusError, match="only for the staff"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_asked_to_reconnect(self) -> None:
        """Entering retries when the server asks the client to reconnect."""
        again = fails(come_back(Status.RESOURCE_EXHAUSTED))
        async with scripted(again, again, idle) as target, client(target) as chat:
            assert isinstance(await chat.receive(), Connected)

    async def test_asked_to_reconnect_too_late(self) -> None:
        """Entering raises the error if the retry would be after `connect_timeout`."""
        later = come_back(text="later", retry_after_ms="60000")
        async with scripted(fails(later)) as target:
            with pytest.raises(UnavailableError, match="later"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_retryable(self) -> None:
        """Entering raises other errors at once, even retryable ones."""
        async with scripted(fails(StatusError(Status.INTERNAL, "oh no"))) as target:
            with pytest.raises(StatusError, match="oh no"):
                async with client(target):
                    raise AssertionError("it was let in")

    async def test_unreachable(self) -> None:
        """Entering raises if the server cannot be reached."""
        with refusing() as dead:
            with pytest.raises(UnavailableError, match=f"cannot connect to {dead}"):
                async with client(dead):
                    raise AssertionError("it was let in")

    async def test_waiting_for_ready(self) -> None:
        """With `wait_for_ready`, entering raises only errors that are not retryable."""
        trouble = fails(StatusError(Status.INTERNAL, "oh no"))
        async with scripted(trouble, trouble, idle) as target:
            async with client(target, wait_for_ready=True) as chat:
                assert isinstance(await chat.receive(), Connected)
        async with scripted(trouble, fails(stay_away(text="never"))) as target:
            with pytest.raises(StatusError, match="never"):
                async with client(target, wait_for_ready=True):
                    raise AssertionError("it was let in")

    async def test_no_answer(self) -> None:
        """A server that does not answer within `connect_timeout` raises."""
        async with scripted(gone) as target:
            with pytest.raises(DeadlineExceededError, match="did not let the client"):
                async with client(target, connect_timeout=0.05):
                    raise AssertionError("it was let in")

    async def test_cancelled(self) -> None:
        """Cancelling while entering leaves no task and no descriptor."""
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

    async def test_cancelled_by_another_task(self) -> None:
        """A client that another task cancels while it enters raises `ClosedError`."""
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


class TestReconnecting:
    async def test_resuming(self) -> None:
        """After a loss the client resumes at its position and reports both events."""

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
            received = await events(chat, 7)
            assert offsets(received) == [1, 2, 3, 4]
            lost, back = received[2:4]
            assert isinstance(lost, Reconnecting)
            assert (lost.attempt, str(lost.error)) == (
                1,
                "UNAVAILABLE: the server is shutting down",
            )
            assert 0 < lost.delay < 0.1
            assert back == Connected("s", Position("e", 3), recovered=True)

    async def test_failed_attempts(self) -> None:
        """Each failed attempt is an event with its number."""
        trouble = fails(UnavailableError(Status.UNAVAILABLE, "not yet"))

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first, trouble, trouble, idle) as target, client(target) as chat:
            received = await events(chat, 5)
            attempts = [each.attempt for each in received if isinstance(each, Reconnecting)]
            assert attempts == [1, 2, 3]
            assert isinstance(received[-1], Connected)

    async def test_new_epoch(self) -> None:
        """A lost log is a gap, followed by all messages of the new log."""

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
            received = await events(chat, 6)
            assert received[2] == Connected("s", Position("f", 2), recovered=False)
            assert received[3] == Gap(Position("e", 6), Position("f", 0))
            assert offsets(received[4:]) == [1, 2]
            assert chat.position == Position("f", 2)

    async def test_trimmed_history(self) -> None:
        """Messages that the room no longer keeps are a gap, followed by the rest."""

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
            received = await events(chat, 6)
            assert received[3] == Gap(Position("e", 6), Position("e", 7))
            assert offsets(received[4:]) == [8, 9]

    async def test_from_an_earlier_client(self) -> None:
        """A `resume` position that is too old is a gap at the beginning."""

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
        """A session lost before its history is followed by a session that asks again."""

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
            received = await events(chat, 7)
            assert offsets(received) == [4, 5]

    async def test_final_error(self) -> None:
        """After a final error every method raises it, and leaving does not raise it again."""

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

    async def test_final_error_on_leaving(self) -> None:
        """Leaving raises a final error that no method has raised."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            raise stay_away(text="disconnected: by an operator")

        async with scripted(script) as target:
            with pytest.raises(StatusError, match="by an operator"):
                async with client(target) as chat:
                    await until(lambda: chat._session.error, "it has ended")

    async def test_ended_ok(self) -> None:
        """A session that the server ends with status OK ends the iteration."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.publish(1)

        async with scripted(script) as target, client(target) as chat:
            assert offsets([event async for event in chat]) == [1]
            assert await chat.receive() is None
            with pytest.raises(ClosedError, match="the server has ended the session"):
                await chat.send("hi")

    async def test_invalid_message(self) -> None:
        """An invalid message ends the session, and the client reconnects."""

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

    async def test_user_from_server(self) -> None:
        """The user name from the server is used in the next session."""

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

    async def test_debug_log(self, caplog: pytest.LogCaptureFixture) -> None:
        """The debug log has the reason of each reconnection."""
        caplog.set_level(logging.DEBUG, "chatify_stream.client")

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(text="shutting down")

        async with scripted(first, idle) as target, client(target) as chat:
            await events(chat, 3)
        assert "room 'lobby': reconnecting in" in caplog.text
        assert "shutting down" in caplog.text


class TestSending:
    async def test_unacknowledged(self) -> None:
        """Unacknowledged messages are sent again with their ids, after the missed messages."""

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
        """A copy of an earlier publication acknowledges the message without a new event."""

        async def script(call: RoomCall) -> None:
            await call.greet(7)
            await call.acknowledge(3)
            await call.publish(8)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            assert await chat.send("hi", id="x") == Position("e", 3)
            assert offsets(await events(chat, 2)) == [8]

    async def test_cancelled(self) -> None:
        """A cancelled `send` is not repeated; the others continue."""
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


class TestFaults:
    async def test_writing_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An unexpected error in the writing task ends the client and is raised."""

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
        """Closing a shared channel ends the client."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            with pytest.raises((CallError, asyncio.CancelledError)):
                await call.session.receive()

        async with scripted(script) as target, Channel(target=target) as channel:
            async with client(channel) as chat:
                channel.close()
                with pytest.raises(ClosedError, match="the channel was closed"):
                    await events(chat, 2)

"""Tests of a reconnecting session whose program receives slowly or not at all."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream import CancelledCallError, Position
from chatify_stream.client import (
    Connected,
    Event,
    Joined,
    RoomClient,
)
from chatify_stream.client.event_queue import MAX_EVENTS
from chatify_stream.messages.service.v1 import ChatRspKind

from ..support.waiting import until
from .reconnecting import FULL, client, events, gone, offsets, publish
from .scripted_room import (
    TIMEOUT,
    RoomCall,
    come_back,
    scripted,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


async def end_lagging(call: RoomCall) -> None:
    """Publish more than fits before the acknowledgement, and end at the half-close."""
    await call.greet(0)
    await publish(call, 1, FULL)
    request = await call.hear()
    await publish(call, FULL + 1, FULL + 9)
    await call.acknowledge(FULL + 10, request)
    await call.half_closed()


async def break_lagging(call: RoomCall) -> None:
    """Publish more than fits before the acknowledgement, and end at the next message."""
    await call.greet(0)
    await publish(call, 1, FULL)
    request = await call.hear()
    await publish(call, FULL + 1, FULL + 1)
    await call.acknowledge(FULL + 2, request)
    await call.hear()
    raise come_back()


async def fall_behind(chat: RoomClient, taken: int) -> list[Event | None]:
    """Make the client lag, and take events. Waits for the end if any are taken."""
    connection = chat._session._connection
    await until(lambda: chat._session.events.is_full, "the queue is full")
    await chat.send("hi")
    await chat.half_close()
    received = await events(chat, taken)
    await until(lambda: connection._is_ended or not taken, "the end has come")
    return received


class TestBackpressure:
    async def test_a_slow_program(self) -> None:
        """A slow program slows the server down and gets each message once."""

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

    async def test_lagging(self) -> None:
        """Events dropped during a `send` are requested again when the queue is empty."""

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
            received = await events(chat, 1 + FULL + 1 + 501)
            assert offsets(received) == list(range(1, FULL + 502))
            assert received[1 + FULL] == Connected("s", Position("e", FULL + 501), recovered=True)

    async def test_lagging_and_lost(self) -> None:
        """A session that begins while the program lags is only for sending."""

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

        async with scripted(break_lagging, second, third) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            assert (await chat.send("one")).offset == FULL + 2
            assert (await chat.send("two")).offset == FULL + 3
            assert len(queue) == MAX_EVENTS
            received = await events(chat, 1 + FULL + 1 + 3)
            assert offsets(received) == list(range(1, FULL + 4))

    async def test_caught_up_during_a_join(self) -> None:
        """A program that empties the queue while a session begins gets the dropped events too."""
        joining, caught_up = asyncio.Event(), asyncio.Event()

        async def second(call: RoomCall) -> None:
            assert not {"chat-resume", "chat-history"} & call.metadata.keys()
            joining.set()
            await caught_up.wait()
            await call.greet(FULL + 2)
            with pytest.raises(CancelledCallError):
                while await call.session.receive() is not None:
                    pass  # the message may have been written before the call is cancelled

        async def third(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == f"e/{FULL}"
            await call.greet(FULL + 2, recovered=True)
            await publish(call, FULL + 1, FULL + 2)
            await call.acknowledge(FULL + 3)

        async with scripted(break_lagging, second, third) as target, client(target) as chat:
            queue = chat._session.events
            await until(lambda: queue.is_full, "the queue is full")
            await chat.send("one")
            sending = asyncio.create_task(chat.send("two"))
            await joining.wait()
            received = await events(chat, 1 + FULL)
            assert len(queue) == 0
            caught_up.set()
            async with asyncio.timeout(TIMEOUT):
                received += await events(chat, 1 + 3)
            assert offsets(received) == list(range(1, FULL + 4))
            assert (await sending).offset == FULL + 3

    @pytest.mark.parametrize("taken_before", [0, 600])
    async def test_lagging_at_the_end(self, taken_before: int) -> None:
        """Dropped events are requested again even after the session has ended."""

        async def second(call: RoomCall) -> None:
            assert call.metadata["chat-resume"] == f"e/{FULL}"
            await call.greet(FULL + 10, recovered=True)
            await publish(call, FULL + 1, FULL + 10)
            await call.half_closed()

        async with scripted(end_lagging, second) as target, client(target) as chat:
            received = await fall_behind(chat, taken_before)
            received += [event async for event in chat]
            assert offsets(received) == list(range(1, FULL + 11))

    async def test_leaving_while_lagging(self) -> None:
        """Leaving does not request the dropped events."""
        async with scripted(end_lagging) as target, client(target) as chat:
            await fall_behind(chat, 600)

    async def test_lagging_with_joins(self) -> None:
        """Dropped joins are lost; the program gets a new `Connected`."""

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

    async def test_lost_while_nobody_receives(self) -> None:
        """The queue stays bounded while sessions are lost and nobody receives."""

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

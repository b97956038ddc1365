"""Tests of leaving a reconnecting session."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream import (
    CancelledCallError,
    Channel,
    ClosedError,
    Position,
    Status,
    StatusError,
)
from chatify_stream.client import (
    Reconnecting,
)

from ..support.waiting import until
from .reconnecting import client, events, gone, offsets, publish
from .scripted_room import (
    TIMEOUT,
    RoomCall,
    come_back,
    scripted,
    stay_away,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class TestLeaving:
    async def test_unacknowledged(self) -> None:
        """Leaving waits for acknowledgements and then half-closes."""
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
        """Events in the queue do not delay leaving."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await publish(call, 1, 3000)
            await call.half_closed()

        async with scripted(script) as target, client(target) as chat:
            await until(lambda: chat._session.events.is_full, "the queue is full")

    async def test_close_timeout(self) -> None:
        """After `close_timeout` the session ends, and a waiting `send` raises."""

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
        """A session lost while leaving, with nothing to acknowledge, is not replaced."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            raise come_back()

        async with scripted(script) as target, client(target):
            pass

    async def test_lost_with_something_to_send(self) -> None:
        """A session lost while leaving is replaced if a message is unacknowledged."""
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

    async def test_while_disconnected(self) -> None:
        """A client that waits for its next attempt and has nothing to send leaves at once."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(retry_after_ms="3600000")

        async with scripted(script) as target, client(target, close_timeout=TIMEOUT * 2) as chat:
            _, lost = await events(chat, 2)
            assert isinstance(lost, Reconnecting)

    async def test_an_exception(self) -> None:
        """An exception in the block ends the session at once and is raised."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await gone(call)

        async with scripted(script) as target:
            with pytest.raises(KeyError):
                async with client(target):
                    raise KeyError

    async def test_at_once(self) -> None:
        """An exception ends the session even before its task has begun."""

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
        """Cancelling while leaving leaves no task and no descriptor."""
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
        """Leaving raises the error with which the server ends the session."""

        async def script(call: RoomCall) -> None:
            await call.greet(0)
            await call.half_closed()
            raise stay_away(text="not so")

        async with scripted(script) as target:
            with pytest.raises(StatusError, match="not so"):
                async with client(target):
                    pass

    async def test_half_closing(self) -> None:
        """After a half-close the program receives the remaining events, even across a loss."""

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

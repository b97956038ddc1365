"""Tests of client/room_connection.py, against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatify_stream import (
    CancelledCallError,
    Channel,
    DeadlineExceededError,
    PeerProtocolError,
    Position,
    StatusError,
    UnavailableError,
)
from chatify_stream.client.room_connection import ResyncNeeded, RoomConnection

from ..wire.peers import refusing
from .scripted_room import TIMEOUT, RoomCall, Script, come_back, scripted, stay_away

METADATA = [("chat-room", "lobby")]


@asynccontextmanager
async def connected(
    script: Script, *, resume: Position | None = None, half_close: bool = False
) -> AsyncIterator[RoomConnection]:
    async with scripted(script) as target, Channel(target=target) as channel:
        connection = await RoomConnection.open(
            channel, METADATA, timeout=TIMEOUT, resume=resume, half_close=half_close
        )
        try:
            yield connection
        finally:
            await connection.close()


async def gone(call: RoomCall) -> None:
    """Wait until the client cancels the call."""
    with pytest.raises(CancelledCallError):
        await call.session.receive()


class TestOpening:
    async def test_greeting(self) -> None:
        """An open connection has its response, and messages go both ways."""

        async def script(call: RoomCall) -> None:
            assert call.metadata["chat-room"] == "lobby"
            await call.greet(7)
            assert (await call.acknowledge(8)).name == "hi"
            await call.half_closed()

        async with connected(script) as connection:
            assert connection.response.newest == Position("e", 7)
            await connection.send("1", "hi")
            reply = await connection.receive()
            assert reply is not None
            assert (reply.message, reply.id, reply.offset) == ("hi", "1", 8)
            await connection.half_close()
            assert await connection.receive() is None

    async def test_half_closed_from_the_beginning(self) -> None:
        """A call can be half-closed while it is opened."""

        async def script(call: RoomCall) -> None:
            await call.half_closed()
            await call.greet(7)

        async with connected(script, half_close=True) as connection:
            assert await connection.receive() is None

    async def test_a_server_that_cannot(self) -> None:
        """After UNAVAILABLE the next call uses a new connection; open calls continue."""

        peers = []

        async def stay(call: RoomCall) -> None:
            peers.append(call.session.peer)
            await call.greet(7)
            await call.acknowledge(8)
            await call.half_closed()

        async def refuse(call: RoomCall) -> None:
            raise come_back()

        async with scripted(stay, refuse, stay) as target, Channel(target=target) as channel:
            first = await RoomConnection.open(channel, METADATA, timeout=TIMEOUT)
            with pytest.raises(UnavailableError):
                await RoomConnection.open(channel, METADATA, timeout=TIMEOUT)
            second = await RoomConnection.open(channel, METADATA, timeout=TIMEOUT)
            for connection in (first, second):
                await connection.send("1", "hi")
                assert await connection.receive() is not None
            assert len(set(peers)) == 2
            for connection in (first, second):
                await connection.half_close()
                assert await connection.receive() is None
                await connection.close()

    async def test_refused(self) -> None:
        """A rejected call raises its status and trailers."""

        async def script(call: RoomCall) -> None:
            raise stay_away(text="only for the staff")

        with pytest.raises(StatusError, match="only for the staff") as caught:
            async with connected(script):
                raise AssertionError("it was let in")
        assert caught.value.metadata["chat-reconnect"] == "no"

    async def test_no_answer(self) -> None:
        """A call without a response within the timeout is cancelled."""
        async with scripted(gone) as target, Channel(target=target) as channel:
            with pytest.raises(DeadlineExceededError, match=r"did not let .* within 0\.05 s"):
                await RoomConnection.open(channel, METADATA, timeout=0.05)

    async def test_no_room(self) -> None:
        """A call to a server without rooms is cancelled."""

        async def script(call: RoomCall) -> None:
            await call.session.send("Hello")
            await gone(call)

        async with scripted(script) as target, Channel(target=target) as channel:
            with pytest.raises(PeerProtocolError, match="no rooms"):
                await RoomConnection.open(channel, METADATA, timeout=TIMEOUT)

    async def test_cancelled(self) -> None:
        """Cancelling `open` cancels the call at the server."""
        is_called = asyncio.Event()

        async def script(call: RoomCall) -> None:
            is_called.set()
            await gone(call)

        async with scripted(script) as target, Channel(target=target) as channel:
            opening = asyncio.create_task(RoomConnection.open(channel, METADATA, timeout=TIMEOUT))
            await is_called.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    async def test_nobody_there(self) -> None:
        """An unreachable server raises UNAVAILABLE."""
        with refusing() as dead:
            async with Channel(target=dead) as channel:
                with pytest.raises(UnavailableError, match=f"cannot connect to {dead}"):
                    await RoomConnection.open(channel, METADATA, timeout=TIMEOUT)


class TestCatchingUp:
    @pytest.mark.parametrize(
        ("resume", "recovered"), [(None, False), (3, False), (7, True), (8, True)]
    )
    async def test_nothing_to_wait_for(self, resume: int | None, recovered: bool) -> None:
        """A connection without missed messages has caught up from the start."""

        async def script(call: RoomCall) -> None:
            await call.greet(7, recovered=recovered)

        position = None if resume is None else Position("e", resume)
        async with connected(script, resume=position) as connection:
            assert connection.caught_up.is_set()

    async def test_missed_messages(self) -> None:
        """A connection has caught up after the last message published before it began."""

        async def script(call: RoomCall) -> None:
            await call.greet(7, recovered=True)
            await call.publish(0)
            await call.publish(6)
            await call.publish(7)

        async with connected(script, resume=Position("e", 5)) as connection:
            for has_caught_up in (False, False, True):
                assert await connection.receive() is not None
                assert connection.caught_up.is_set() is has_caught_up
            assert await connection.receive() is None


class TestEnding:
    async def test_closing(self) -> None:
        """Closing cancels the call at the server."""

        async def script(call: RoomCall) -> None:
            await call.greet()
            await gone(call)

        async with connected(script) as connection:
            pass
        with pytest.raises(CancelledCallError):
            await connection.receive()

    async def test_aborting(self) -> None:
        """Waiting and later operations of an aborted connection raise the error."""

        async def script(call: RoomCall) -> None:
            await call.greet()
            await gone(call)

        async with connected(script) as connection:
            receiving = asyncio.create_task(connection.receive())
            await asyncio.sleep(0)
            connection.abort(ResyncNeeded())
            for attempt in (receiving, connection.receive(), connection.send("1", "x")):
                with pytest.raises(ResyncNeeded):
                    await attempt

    async def test_half_closing_too_late(self) -> None:
        """`half_close` has no effect on a call that the server has ended."""

        async def script(call: RoomCall) -> None:
            await call.greet()

        async with connected(script) as connection:
            assert await connection.receive() is None
            await connection.half_close()

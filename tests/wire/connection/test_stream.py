"""Tests of wire/connection/stream.py: messages are whole, reads lose nothing, waiting ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from grpclib.events import SendRequest, listen
from h2.events import StreamEnded

from chatify_stream.errors import CancelledCallError, StatusError, UnavailableError
from chatify_stream.wire import Cardinality, Channel, Limits, Server, ServerStream, Status
from chatify_stream.wire.connection.fair_share import LONG_QUANTUM, SHORT_QUANTUM, Quantum
from chatify_stream.wire.connection.stream import SENDS_IN_A_ROW

from ..calling import call
from ..raw import framed, raw_client, request_headers
from ..services import Answer, Ask, Echo

ADA = bytes(Ask(service="Ada"))
BOB = bytes(Ask(service="Bob"))


class TestOpening:
    """Two calls were given the same connection, whose server takes one of them at a time."""

    async def test_in_turn(self, service: Echo) -> None:
        """The second is opened when the first has ended."""
        async with one_at_a_time(service) as (_, channel), asyncio.timeout(10):
            assert await asyncio.gather(open_one(channel), open_one(channel)) == ["a", "a"]

    async def test_the_connection_is_lost_meanwhile(self, service: Echo) -> None:
        """The second is UNAVAILABLE when its turn cannot come any more."""

        async def handler(stream: ServerStream) -> None:
            await asyncio.Event().wait()

        service.handler = handler
        async with one_at_a_time(service) as (server, channel), asyncio.timeout(10):
            calls = [asyncio.create_task(open_one(channel)) for _ in range(2)]
            await service.started.wait()
            for connection in server._connections:
                connection.abort()
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [UnavailableError, UnavailableError]


async def test_the_server_goes_before_a_call_is_opened(server: Server, channel: Channel) -> None:
    """A call that waits to be sent when a GOAWAY comes is opened on another connection."""
    asked = asyncio.Event()

    async def ask(event: SendRequest) -> None:
        asked.set()

    async def echo() -> str:
        async with call(channel) as stream:
            await stream.send_message(Ask(service="second"), end=True)
            return (await stream.recv_message()).name

    async with asyncio.timeout(10), call(channel) as first:
        await first.send_message(Ask(service="first"))
        await first.recv_message()
        listen(channel, SendRequest, ask)
        (connection,) = channel._pool.connections
        connection.pause_writing()
        second = asyncio.create_task(echo())
        await asked.wait()
        (other_side,) = server._connections
        other_side.drain()
        while not connection.connection.is_going_away:
            await asyncio.sleep(0)
        connection.resume_writing()
        assert await second == "second"
        assert server.statistics().connections_opened == 2
        await first.end()
        assert await first.recv_message() is None


@asynccontextmanager
async def one_at_a_time(service: Echo) -> AsyncIterator[tuple[Server, Channel]]:
    """A server that takes one call at a time, and a channel whose calls begin two at a time."""
    barrier = asyncio.Barrier(2)

    async def wait(event: SendRequest) -> None:
        await barrier.wait()

    server = Server([service], limits=Limits(max_concurrent_streams=1))
    await server.start("127.0.0.1", 0)
    async with Channel("127.0.0.1", server.port) as channel:
        await channel.connect()
        listen(channel, SendRequest, wait)
        yield server, channel
    server.close()
    await server.wait_closed()


async def open_one(channel: Channel) -> str:
    request = channel.request("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer)
    async with request as stream:
        await stream.send_message(Ask(service="a"), end=True)
        return (await stream.recv_message()).name


class TestSending:
    async def test_two_messages_at_once(self, server: Server, service: Echo) -> None:
        """Large messages that several tasks send at once on one stream do not mix."""
        texts = [letter * 3_000_000 for letter in "abc"]

        async def handler(stream: ServerStream) -> None:
            await asyncio.gather(*(stream.send_message(Answer(name=text)) for text in texts))

        service.handler = handler
        async with (
            Channel("127.0.0.1", server.port) as channel,
            channel.request("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer) as stream,
        ):
            await stream.send_request(end=True)
            received = [message.name async for message in stream]
        assert sorted(received) == texts

    async def test_a_message_cut_by_cancellation(self, server: Server, service: Echo) -> None:
        """A send that is cancelled in its middle ends the call, and no half message is read."""
        received: list[str] = []

        async def handler(stream: ServerStream) -> None:
            await release.wait()
            received.extend([message.service async for message in stream])

        release = asyncio.Event()
        service.handler = handler
        large = Ask(service="x" * 4_000_000)
        async with Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(CancelledCallError):
                async with channel.request(
                    "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer
                ) as stream:
                    await stream.send_request()
                    await service.started.wait()
                    sending = asyncio.create_task(fill(stream, large))
                    await asyncio.wait([sending], timeout=0.3)
                    assert not sending.done(), "the window was never exhausted"
                    sending.cancel()
                    await asyncio.wait([sending])
                    release.set()
                    await stream.send_message(Ask(service="next"), end=True)
            await service.ended.wait()
        assert "next" not in received
        assert set(received) <= {large.service}

    @pytest.mark.parametrize("turn", [LONG_QUANTUM, SHORT_QUANTUM])
    async def test_a_fast_sender_lets_others_run(
        self, service: Echo, server: Server, turn: Quantum
    ) -> None:
        """While one stream has thousands of messages waiting, other tasks get their turns."""
        turns: list[int] = []
        handled = 0

        async def handler(stream: ServerStream) -> None:
            nonlocal handled
            await everything_sent.wait()
            async for _ in stream:
                handled += 1

        async def other() -> None:
            while not service.ended.is_set():
                turns.append(handled)
                await asyncio.sleep(0)

        everything_sent = asyncio.Event()
        service.handler = handler
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(raw_client(server.port))
            if turn is SHORT_QUANTUM:  # which it has in fair_share
                await stack.enter_async_context(raw_client(server.port))
                while len(server._connections) < 2:
                    await asyncio.sleep(0)
            client.h2.send_headers(1, request_headers("/test.Echo/Run"))
            client.h2.send_data(1, framed(ADA) * 1000)
            client.h2.end_stream(1)
            client.flush()
            await service.started.wait()
            (stream,) = (
                stream
                for connection in server._connections
                for stream in connection.connection.streams.values()
            )
            while not stream.remote_ended:
                await asyncio.sleep(0)
            everything_sent.set()
            await other()
        assert handled == 1000
        steps = [after - before for before, after in zip(turns, turns[1:], strict=False)]
        assert max(steps) <= turn.messages

    async def test_a_fast_reader_lets_others_run(self, service: Echo, server: Server) -> None:
        """While a handler sends without end to a client that takes all, others get their turns."""
        turns: list[int] = []
        sent = 0

        async def handler(stream: ServerStream) -> None:
            nonlocal sent
            while sent < 1000:
                await stream.send_message(Answer(name="x"))
                sent += 1

        service.handler = handler
        async with raw_client(server.port) as client:
            client.h2.send_headers(1, request_headers("/test.Echo/Run"), end_stream=True)
            client.flush()
            while not service.ended.is_set():
                turns.append(sent)
                await asyncio.sleep(0)
            await client.wait_for(StreamEnded, 1)
        assert sent == 1000
        steps = [after - before for before, after in zip(turns, turns[1:], strict=False)]
        assert max(steps) <= SENDS_IN_A_ROW


async def test_a_reset_for_a_peer_that_does_not_read(channel: Channel, service: Echo) -> None:
    """A call that is cancelled while nothing else can be sent is reset all the same."""

    async def handler(stream: ServerStream) -> None:
        await asyncio.Event().wait()

    service.handler = handler
    request = channel.request("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer)
    async with asyncio.timeout(5), request as stream:
        await stream.send_request()
        await service.started.wait()
        (connection,) = channel._pool.connections
        connection.pause_writing()
        await stream.cancel()
        await service.ended.wait()


async def fill(stream: object, message: Ask) -> None:
    while True:
        await stream.send_message(message)


class TestReading:
    async def test_a_cancelled_read_loses_nothing(self, service: Echo, server: Server) -> None:
        """A read that is cancelled between the prefix and the body goes on where it was."""
        reads: list[str] = []

        async def handler(stream: ServerStream) -> None:
            read = asyncio.create_task(stream.recv_message())
            await prefix_sent.wait()
            while not stream._stream.inbox._partial:
                await asyncio.sleep(0)
            read.cancel()
            await asyncio.wait([read])
            cancelled.set()
            reads.extend([message.service async for message in stream])

        prefix_sent, cancelled = asyncio.Event(), asyncio.Event()
        service.handler = handler
        async with raw_client(server.port) as client:
            client.h2.send_headers(1, request_headers("/test.Echo/Run"))
            client.h2.send_data(1, framed(ADA)[:5])
            client.flush()
            prefix_sent.set()
            await cancelled.wait()
            client.h2.send_data(1, framed(ADA)[5:] + framed(BOB), end_stream=True)
            client.flush()
            await client.wait_for(StreamEnded, 1)
        assert reads == ["Ada", "Bob"]

    async def test_a_fast_client_lets_others_run(self, channel: Channel, service: Echo) -> None:
        """While a client reads thousands of messages that have come, others get their turns."""
        turns: list[int] = []
        read = 0

        async def handler(stream: ServerStream) -> None:
            for _ in range(1000):
                await stream.send_message(Answer(name="x"))

        async def other() -> None:
            while True:
                turns.append(read)
                await asyncio.sleep(0)

        service.handler = handler
        request = channel.request("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer)
        async with asyncio.timeout(10), request as stream:
            await stream.send_request(end=True)
            while not stream._stream.remote_ended:
                await asyncio.sleep(0)
            others = asyncio.create_task(other())
            await asyncio.sleep(0)
            while await stream.recv_message() is not None:
                read += 1
            turns.append(read)
            others.cancel()
        assert read == 1000
        steps = [after - before for before, after in zip(turns, turns[1:], strict=False)]
        assert max(steps) <= LONG_QUANTUM.messages

    async def test_too_large_for_the_client(self, server: Server) -> None:
        """The client, too, refuses a message over its limit, by its prefix."""
        async with Channel("127.0.0.1", server.port, limits=Limits(max_message_size=10)) as channel:
            with pytest.raises(StatusError) as caught:
                async with channel.request(
                    "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
                ) as stream:
                    await stream.send_message(Ask(service="x" * 50), end=True)
                    await stream.recv_message()
        assert caught.value.status is Status.RESOURCE_EXHAUSTED

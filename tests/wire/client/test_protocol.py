"""Tests of wire/client/protocol.py: the server's limit on streams, seen by the client."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.config import Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes

from chatify_stream.errors import ClosedError, DeadlineExceededError, UsageError
from chatify_stream.wire import Channel, ChannelState, ClientStream, Server
from chatify_stream.wire.client.protocol import LAST_STREAM, ClientProtocol

from ...support.frames import GOAWAY
from ...support.waiting import TIMEOUT
from ..calling import RESPONSE, call, scripted_server
from ..raw import frame
from ..services import Ask


async def connection_of(channel: Channel) -> ClientProtocol:
    return await channel.__connect__()


def do_nothing(h2: H2Connection, event: RequestReceived) -> None:
    """Leave every call open until the client ends it."""


def answer(h2: H2Connection, event: RequestReceived) -> None:
    h2.send_headers(event.stream_id, [*RESPONSE, ("grpc-status", "0")], end_stream=True)


async def send(stream: ClientStream) -> None:
    async with asyncio.timeout(TIMEOUT):
        await stream.send_request(end=True)


async def begin(channel: Channel) -> ClientStream:
    """Start a call and send its request."""
    stream = await call(channel).__aenter__()
    await send(stream)
    return stream


async def wait(channel: Channel, **options: object) -> tuple[asyncio.Task[None], ClientStream]:
    """Start a call that waits to send its request."""
    stream = await call(channel, **options).__aenter__()
    sending = asyncio.create_task(send(stream))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not sending.done()
    return sending, stream


async def ended(stream: ClientStream) -> None:
    """Read a call to its end."""
    assert await stream.recv_message() is None
    await stream.__aexit__(None, None, None)


async def leave(stream: ClientStream) -> None:
    await stream.cancel()
    await stream.__aexit__(None, None, None)


async def test_room() -> None:
    """free_streams is the limit of the server minus the open calls."""
    async with scripted_server(do_nothing, max_concurrent_streams=2) as channel:
        connection = await connection_of(channel)
        assert (connection.free_streams, connection.is_unused) == (2, True)
        first, second = await begin(channel), await begin(channel)
        assert (connection.free_streams, connection.is_unused) == (0, False)
        await leave(first)
        assert connection.free_streams == 1
        await leave(second)


async def test_a_call_that_has_ended() -> None:
    """An ended call does not count, even before its caller leaves it."""
    async with scripted_server(answer, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        assert await first.recv_message() is None
        await ended(await begin(channel))
        await ended(first)


async def test_calls_over_the_limit_wait() -> None:
    """A call over the limit is sent after another call has ended."""
    async with scripted_server(do_nothing, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        (sending, second), (later, third) = [await wait(channel) for _ in range(2)]
        await leave(first)
        await sending
        assert not later.done()
        await leave(second)
        await later
        await leave(third)


async def test_the_server_ends_calls() -> None:
    """A waiting call is sent when the server ends another, even before its caller leaves it."""
    async with scripted_server(answer, max_concurrent_streams=1) as channel:
        calls = await asyncio.gather(*(begin(channel) for _ in range(5)))
        for stream in calls:
            await ended(stream)


async def test_many_over_the_limit() -> None:
    """Any number of concurrent calls succeed, in order."""
    order = []

    async def once(channel: Channel, number: int) -> None:
        stream = await begin(channel)
        order.append(number)
        await ended(stream)

    async with scripted_server(answer, max_concurrent_streams=3) as channel:
        await asyncio.gather(*(once(channel, number) for number in range(300)))
    assert order == list(range(300))


async def test_giving_up_while_waiting() -> None:
    """A call that is cancelled while it waits is not sent and delays no other call."""
    async with scripted_server(do_nothing, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        (sending, second), (later, third) = [await wait(channel) for _ in range(2)]
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        await second.__aexit__(None, None, None)
        await leave(first)
        await later
        await leave(third)


async def test_the_deadline_while_waiting() -> None:
    """A call whose deadline passes while it waits is DEADLINE_EXCEEDED."""
    async with scripted_server(do_nothing, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        sending, second = await wait(channel, timeout=0.05)
        with pytest.raises(DeadlineExceededError, match=r"the deadline of the call has passed$"):
            await sending
        await second.__aexit__(None, None, None)
        await leave(first)
        await leave(await begin(channel))


async def test_a_place_that_is_wasted() -> None:
    """A call that fails to send leaves its free stream to the next call."""
    async with scripted_server(do_nothing, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        wrong, second = await wait(channel, metadata={"Upper": "a"})
        later, third = await wait(channel)
        await leave(first)
        with pytest.raises(UsageError):
            await wrong
        await second.__aexit__(None, None, None)
        await later
        await leave(third)


async def test_the_limit_is_raised() -> None:
    """Waiting calls are sent when the server raises its limit."""

    def take_more(h2: H2Connection, event: RequestReceived) -> None:
        h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})

    async with scripted_server(take_more, max_concurrent_streams=1) as channel:
        calls = await asyncio.gather(*(begin(channel) for _ in range(3)))
        for stream in calls:
            await leave(stream)


async def test_closing_while_calls_wait() -> None:
    """Waiting calls end with ClosedError when the channel is closed."""
    async with scripted_server(do_nothing, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        sending, second = await wait(channel)
        channel.close()
        with pytest.raises(ClosedError):
            await sending
        await second.__aexit__(None, None, None)
        await leave(first)


async def test_goaway_while_calls_wait() -> None:
    """Waiting calls use a new connection after a GOAWAY."""
    first_connection: list[H2Connection] = []

    def go(h2: H2Connection, event: RequestReceived) -> None:
        if not first_connection:
            first_connection.append(h2)
        elif h2 is not first_connection[0]:
            answer(h2, event)

    async with scripted_server(go, max_concurrent_streams=1) as channel:
        first = await begin(channel)
        sending, second = await wait(channel)
        earlier = first._connection
        (connection,) = channel._pool.connections
        connection.data_received(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
        await sending
        assert second._connection is not earlier
        await ended(second)
        await leave(first)


async def test_no_number_is_left(server: Server) -> None:
    """A connection that has used up its stream ids is replaced."""
    async with Channel("127.0.0.1", server.port) as channel:
        connection = await connection_of(channel)
        connection.connection.h2.highest_outbound_stream_id = LAST_STREAM - 2
        async with call(channel) as last:
            await last.send_message(Ask(service="Ada"))
            assert last._stream.id == LAST_STREAM
            assert channel.state is ChannelState.IDLE
            async with call(channel) as first:
                await first.send_message(Ask(service="Bob"), end=True)
                assert first._stream.id == 1
                assert (await first.recv_message()).name == "Bob"
            assert (await last.recv_message()).name == "Ada"
            await last.end()
            assert await last.recv_message() is None
        async with asyncio.timeout(10):
            while server.connections > 1:
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("with_call", "permitted", "is_pinged"),
    [(False, False, False), (False, True, True), (True, False, True)],
)
async def test_keepalive_of_grpclibs_configuration(
    with_call: bool, permitted: bool, is_pinged: bool
) -> None:
    """Its interval applies to the channel, by default only while a call is open."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(0x04, 0, 0, b""))
        try:
            while data := await reader.read(65536):
                received.extend(data)
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    config = Configuration(_keepalive_time=0.05, _keepalive_permit_without_calls=permitted)
    async with Channel("127.0.0.1", port, config=config) as channel:
        await channel.connect()
        stream = call(channel)
        async with stream:
            if with_call:
                await stream.send_request()
            await asyncio.sleep(0.3)
            await stream.cancel()
    listener.close()
    assert (b"you here" in received) is is_pinged

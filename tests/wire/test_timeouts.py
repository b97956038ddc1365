"""Tests of the timeouts of connections and of their maximum age."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder

from chatify_stream.wire import Limits, Rate, Server, ServerStream

from ..support.frames import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from .raw import (
    GREETING,
    FrameClient,
    frame,
    frame_client,
    framed,
    numbered_frames_in,
)
from .scene import ADA, ANSWER, WIDE, headers, said, scene
from .services import Answer, Ask, Echo


@pytest.mark.parametrize("greeting", [b"", GREETING[:10], GREETING[:24], GREETING[:26]])
async def test_no_greeting(greeting: bytes) -> None:
    """A client that sends an incomplete handshake is aborted."""
    async with scene(Limits(handshake_timeout=0.1)) as here:
        async with frame_client(here.server.port, greeting) as silent:
            await silent.wait_closed()


async def test_no_call() -> None:
    """A client without a call is drained."""
    async with scene(Limits(first_call_timeout=0.1)) as here:
        async with frame_client(here.server.port) as idle:
            assert said(await idle.wait_for(GOAWAY)) == (ErrorCodes.NO_ERROR, "no_calls")
            await idle.wait_closed()


async def test_a_dead_peer() -> None:
    """A client that does not answer a PING is aborted, and its call ends."""
    server = Server([Echo()], limits=Limits(keepalive_time=0.1, keepalive_timeout=0.1))
    await server.start("127.0.0.1", 0)
    async with frame_client(server.port) as dead:
        dead.send(headers(1), frame(DATA, 0, 1, ADA))
        await dead.wait_for(PING)
        await dead.wait_closed()
    assert (server.open_calls, server.connections) == (0, 0)
    server.close()
    await server.wait_closed()


async def test_a_living_peer() -> None:
    """A client that answers every PING stays connected."""
    async with scene(Limits(keepalive_time=0.02, keepalive_timeout=5.0)) as here:
        await here.bystander.wait_for_frame(PING, 5)


async def test_answers_that_are_not_read() -> None:
    """A client that sends PINGs and reads no answer is aborted."""
    limits = Limits(pings=Rate(10**9, 1.0), max_control_backlog=100_000, write_timeout=0.3)
    async with scene(limits) as here, frame_client(here.server.port) as attacker:
        await send_until_aborted(attacker, frame(PING, 0, 0, bytes(8)) * 5000)


async def test_a_peer_that_reads_nothing() -> None:
    """A client that reads nothing is aborted."""
    async with scene(Limits(write_timeout=0.3)) as here:
        async with frame_client(here.server.port) as attacker:
            attacker.send(WIDE, headers(1))
            message = framed(bytes(Ask(service="x" * 10_000)))
            await send_until_aborted(attacker, frame(DATA, 0, 1, message))


@pytest.mark.parametrize("whole_messages", [2, 2.5])
async def test_a_call_that_reads_nothing(whole_messages: float) -> None:
    """A call whose window stays empty ends, within a message with a reset."""
    answer = framed(bytes(Answer(name="x" * 1000)))

    async def handler(stream: ServerStream) -> None:
        while True:
            await stream.send_message(Answer(name="x" * 1000))

    async with scene(Limits(write_timeout=0.1)) as here, frame_client(here.server.port) as slow:
        here.service.handler = handler
        window = int(whole_messages * len(answer))
        slow.send(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big")))
        slow.send(headers(1, path="/test.Echo/Run"))
        if whole_messages == 2:
            decoder = Decoder()
            decoder.decode(await slow.wait_for(HEADERS, 1))
            trailers = dict(decoder.decode(await slow.wait_for(HEADERS, 1, which=1)))
            assert trailers["grpc-status"] == "8"
            assert trailers["grpc-message"] == "nothing was read for 0.1 s"
        else:
            reset = await slow.wait_for(RST_STREAM, 1)
            assert int.from_bytes(reset, "big") == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("stream_id", [0, 1])
async def test_windows_that_help_nothing(stream_id: int) -> None:
    """write_timeout applies to the windows of the stream and of the connection."""

    async def handler(stream: ServerStream) -> None:
        while True:
            await stream.send_message(Answer(name="x" * 1000))

    async with scene(Limits(write_timeout=0.1)) as here, frame_client(here.server.port) as slow:
        here.service.handler = handler
        slow.send(headers(1, path="/test.Echo/Run"))
        await here.service.started.wait()
        while sum(len(body) for kind, _, body in numbered_frames_in(slow.received) if not kind) < (
            65535
        ):
            await slow._read()
        # From now on the window of the call is far below zero.
        slow.send(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4)))
        async with asyncio.timeout(5):
            while not here.service.ended.is_set():
                slow.send(frame(WINDOW_UPDATE, 0, stream_id, (1).to_bytes(4, "big")))
                await asyncio.sleep(0.01)


async def test_calls_that_wait_for_the_window_of_all() -> None:
    """When the window grows, as many calls continue as it has space for, in order."""
    size = 10_000

    async def handler(stream: ServerStream) -> None:
        await stream.send_message(Answer(name="x" * size))

    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        here.service.handler = handler
        calls = range(1, 41, 2)
        client.send(*(headers(stream_id, path="/test.Echo/Run") for stream_id in calls))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        client.send(frame(WINDOW_UPDATE, 0, 0, (len(calls) * 2 * size).to_bytes(4, "big")))
        for stream_id in calls:
            await client.wait_for(HEADERS, stream_id, which=1)


async def send_until_aborted(attacker: FrameClient, data: bytes) -> None:
    attacker.writer.transport.pause_reading()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            while True:
                attacker.send(data)
                await attacker.writer.drain()


class TestAge:
    async def test_an_old_connection(self) -> None:
        """A drained connection keeps its calls and closes after the last one."""
        server = Server([Echo()], limits=Limits(max_connection_age=0.1))
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            client.send(headers(1))
            assert said(await client.wait_for(GOAWAY)) == (ErrorCodes.NO_ERROR, "max_age")
            client.send(frame(DATA, END_STREAM, 1, ADA))
            assert await client.wait_for(DATA, 1) == ANSWER
            await client.wait_closed()
        server.close()
        await server.wait_closed()

    async def test_calls_that_do_not_end(self) -> None:
        """After the grace the calls end with UNAVAILABLE."""
        limits = Limits(max_connection_age=0.1, max_connection_age_grace=0.1)
        server = Server([Echo()], limits=limits)
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            client.send(headers(1))
            trailers = dict(Decoder().decode(await client.wait_for(HEADERS, 1)))
            assert trailers["grpc-status"] == "14"
            await client.wait_closed()
        server.close()
        await server.wait_closed()

"""Tests of wire/connection/statistics.py, with a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from h2.events import StreamEnded
from hpack import Decoder, Encoder

from chatify_stream.errors import CallError, StatusError
from chatify_stream.wire import (
    Cardinality,
    Channel,
    Limits,
    Page,
    Rate,
    Server,
    ServerStream,
    Status,
)

from ...support.frames import ACK, DATA, END_HEADERS, HEADERS, PING, SETTINGS
from ..raw import RawClient, frame, frame_client, framed, raw_client, request_headers
from ..services import Answer, Ask, Echo

ADA = framed(bytes(Ask(service="Ada")))


async def gone(server: Server) -> None:
    """Wait until no connection is open."""
    async with asyncio.timeout(10):
        while server.connections:
            await asyncio.sleep(0.01)


async def test_messages_and_bytes(server: Server) -> None:
    """Counters are available while a connection is open, and kept after it closes."""
    async with raw_client(server.port) as client:
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, ADA * 3, end_stream=True)
        client.flush()
        await client.wait_for(StreamEnded, 1)
        statistics = server.statistics()
        (connection,) = server.connection_statistics()
        assert (connection.messages_received, connection.messages_sent) == (3, 3)
        assert (connection.peer, connection.streams_opened) == ("127.0.0.1", 1)
        assert connection.bytes_sent == len(client.received) == statistics.bytes_sent
        assert (connection.bytes_unsent, connection.is_draining) == (0, False)
        assert 0 <= connection.age < 60
        assert (statistics.connections, statistics.connections_opened) == (1, 1)
        assert statistics.bytes_received > 3 * len(ADA)
    await gone(server)
    after = server.statistics()
    assert (after.connections, after.connections_opened, after.calls_opened) == (0, 1, 1)
    assert (after.messages_received, after.messages_sent) == (3, 3)
    assert after.bytes_sent >= statistics.bytes_sent
    assert server.connection_statistics() == []


async def test_how_calls_ended(server: Server, service: Echo, channel: Channel) -> None:
    """Each call is counted once, by its status or as RESET."""

    async def handler(stream: ServerStream) -> None:
        request = await stream.recv_message()
        if request.service == "fail":
            raise StatusError(Status.NOT_FOUND, "no")
        if request.service == "wait":
            await asyncio.sleep(60)
        if request.service == "say":
            await stream.send_trailing_metadata(status=Status.ABORTED)

    service.handler = handler
    for name in ["", "fail", "say", "say"]:
        try:
            async with channel.request(
                "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer
            ) as stream:
                await stream.send_message(Ask(service=name), end=True)
                await stream.recv_message()
        except CallError:
            pass
    service.started.clear()
    async with channel.request("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer) as stream:
        await stream.send_message(Ask(service="wait"), end=True)
        await service.started.wait()
        assert server.statistics().calls == 1
        await stream.cancel()
    with pytest.raises(CallError):
        async with channel.request(
            "/test.Echo/None", Cardinality.UNARY_UNARY, Ask, Answer
        ) as stream:
            await stream.send_message(Ask(), end=True)
            await stream.recv_message()
    statistics = server.statistics()
    assert statistics.calls_ended == {
        "OK": 1,
        "NOT_FOUND": 1,
        "ABORTED": 2,
        "RESET": 1,
        "UNIMPLEMENTED": 1,
    }
    assert (statistics.calls, statistics.calls_opened) == (0, 6)


async def test_why_connections_ended(server: Server) -> None:
    """A connection that the server ended is counted by its reason."""
    for bad in [
        frame(PING, 0, 0, bytes(8)) * 1000,
        frame(DATA, 0, 7, b"idle"),
        frame(PING, 0, 0, b"1"),
    ]:
        async with frame_client(server.port) as client:
            client.send(bad)
            await client.wait_closed()
    await gone(server)
    assert server.statistics().connections_ended == {"too_many_pings": 1, "protocol_error": 2}


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[Server]:
    server = Server([Echo()], limits=limits, pages={"/ok": lambda: Page("ok")})
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


async def test_pages() -> None:
    """A page is counted among the ended calls by its HTTP status."""
    async with serving(Limits()) as server, raw_client(server.port) as client:
        for stream_id in [1, 3]:
            headers = request_headers("/ok", __method="GET")
            client.h2.send_headers(stream_id, headers, end_stream=True)
            client.flush()
            await client.wait_for(StreamEnded, stream_id)
        statistics = server.statistics()
        assert (statistics.calls_opened, statistics.calls_ended) == (2, {"HTTP 200": 2})


async def test_without_a_call() -> None:
    """A connection without a call is counted as no_calls."""
    async with serving(Limits(first_call_timeout=0.05)) as server:
        async with frame_client(server.port) as client:
            await client.wait_for(PING)
            client.send(frame(PING, ACK, 0, b"draining"))
            await client.wait_closed()
        await gone(server)
        assert server.statistics().connections_ended == {"no_calls": 1}


async def test_of_age() -> None:
    """A connection over its age is counted as max_age, and its calls get that reason."""
    limits = Limits(max_connection_age=0.05, max_connection_age_grace=0.05)
    async with serving(limits) as server:
        async with frame_client(server.port) as client:
            fields = Encoder().encode(request_headers())
            client.send(frame(HEADERS, END_HEADERS, 1, fields))
            trailers = dict(Decoder().decode(await client.wait_for(HEADERS, 1)))
            assert trailers["grpc-status"] == str(Status.UNAVAILABLE.value)
            assert "has reached its maximum age" in trailers["grpc-message"]
            await client.wait_closed()
        await gone(server)
        assert server.statistics().connections_ended == {"max_age": 1}


async def test_answers_that_nobody_reads() -> None:
    """A connection with too many unread replies is counted as max_control_backlog."""
    limits = Limits(pings=Rate(10**9, 1.0), max_control_backlog=20_000)
    async with serving(limits) as server, frame_client(server.port) as client:
        await client.wait_for(SETTINGS)
        (connection,) = server._connections
        connection.pause_writing()
        client.send(frame(PING, 0, 0, bytes(8)) * 5000)
        await gone(server)
        assert server.statistics().connections_ended == {"max_control_backlog": 1}


async def test_of_a_stream(client: RawClient, service: Echo) -> None:
    """A handler can read the counters of its stream."""
    seen: list[tuple[int, int, int]] = []

    async def handler(stream: ServerStream) -> None:
        def look() -> None:
            numbers = stream.statistics()
            seen.append((numbers.messages_received, numbers.messages_sent, numbers.bytes_waiting))

        await stream.recv_message()
        look()
        await stream.send_message(Answer())
        await stream.recv_messages()
        look()

    service.handler = handler
    client.h2.send_headers(1, request_headers("/test.Echo/Run"))
    client.h2.send_data(1, ADA * 3, end_stream=True)
    client.flush()
    await client.wait_for(StreamEnded, 1)
    assert seen == [(1, 0, 2 * len(ADA)), (3, 1, 0)]

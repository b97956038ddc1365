"""Tests of the numbers that server, connection and stream give of themselves."""

from __future__ import annotations

import asyncio

import pytest
from h2.events import StreamEnded

from chatify_stream.errors import CallError, StatusError
from chatify_stream.wire import Cardinality, Channel, Server, ServerStream, Status

from .raw import RawClient, frame, frame_client, framed, raw_client, request_headers
from .services import Answer, Ask, Echo

ADA = framed(bytes(Ask(service="Ada")))


async def gone(server: Server) -> None:
    """Until no connection is open."""
    async with asyncio.timeout(10):
        while server.connections:
            await asyncio.sleep(0.01)


async def test_messages_and_bytes(server: Server) -> None:
    """What has come and gone is counted while the connection is open, and kept when it closes."""
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
    """Each call is counted once, by its status, or as reset."""

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
    """A connection that the server ended is counted by the reason."""
    for bad in [frame(6, 0, 0, bytes(8)) * 1000, frame(0, 0, 7, b"idle"), frame(6, 0, 0, b"1")]:
        async with frame_client(server.port) as client:
            client.send(bad)
            await client.wait_closed()
    await gone(server)
    assert server.statistics().connections_ended == {"too_many_pings": 1, "protocol_error": 2}


async def test_of_a_stream(client: RawClient, service: Echo) -> None:
    """A handler can see what waits for it."""
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

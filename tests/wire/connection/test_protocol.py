"""Tests of wire/connection/protocol.py, against frames that grpclib and h2 answer wrongly.

What plain grpclib does with some of them is in test_faults.py.
"""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    TrailersReceived,
)
from hyperframe.frame import (
    ContinuationFrame,
    HeadersFrame,
    PriorityFrame,
)

from chatify_stream.wire import Limits, Server, Status

from ...support.frames import END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS
from ..raw import RawClient, answers, frame, frame_client, framed, raw_client, request_headers
from ..services import Ask, Echo

ADA = bytes(Ask(service="Ada"))
BOB = bytes(Ask(service="Bob"))


def headers_of(event: TrailersReceived | ResponseReceived) -> dict[str, str]:
    return dict(event.headers)


class TestData:
    async def test_an_empty_frame_in_a_message(self, client: RawClient) -> None:
        """A message that arrives byte by byte, with empty frames between them, is whole."""
        client.h2.send_headers(1, request_headers())
        for byte in framed(ADA):
            client.h2.send_data(1, bytes([byte]))
            client.h2.send_data(1, b"")
            client.flush()
            await asyncio.sleep(0)
        client.h2.end_stream(1)
        client.flush()
        assert await answers(client, 1) == (["Ada"], "0")

    async def test_padding(self, client: RawClient) -> None:
        """Padding is no part of a message, also where a frame has nothing else."""
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, framed(ADA), pad_length=7)
        client.h2.send_data(1, b"", pad_length=9)
        client.h2.send_data(1, framed(BOB), end_stream=True, pad_length=0)
        client.flush()
        assert await answers(client, 1) == (["Ada", "Bob"], "0")

    async def test_two_messages_in_a_frame(self, client: RawClient) -> None:
        """Messages need not be aligned with frames."""
        client.h2.send_headers(1, request_headers())
        both = framed(ADA) + framed(BOB)
        client.h2.send_data(1, both[:9])
        client.h2.send_data(1, both[9:], end_stream=True)
        client.flush()
        assert await answers(client, 1) == (["Ada", "Bob"], "0")

    @pytest.mark.parametrize("cut", [1, 4, 5, 7])
    async def test_the_end_in_a_message(self, client: RawClient, cut: int) -> None:
        """Requests that end in the middle of a message are INTERNAL, not an OK without it."""
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, framed(ADA)[:cut], end_stream=True)
        client.flush()
        trailers = headers_of(await client.wait_for(ResponseReceived, 1))
        assert trailers["grpc-status"] == str(Status.INTERNAL.value)
        assert "in the middle of a message" in trailers["grpc-message"]

    async def test_a_message_that_is_not_protobuf(self, client: RawClient) -> None:
        """A message that cannot be decoded is INTERNAL."""
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, framed(b"\x0a\x02\xff\xfe"), end_stream=True)
        client.flush()
        trailers = headers_of(await client.wait_for(ResponseReceived, 1))
        assert trailers["grpc-status"] == str(Status.INTERNAL.value)
        assert "not a valid HealthCheckRequest" in trailers["grpc-message"]

    async def test_a_message_too_large(self, service: Echo) -> None:
        """A message over the limit is refused when its prefix is read, before its body comes."""
        server = Server([service], limits=Limits(max_message_size=100))
        await server.start("127.0.0.1", 0)
        try:
            async with raw_client(server.port) as client:
                client.h2.send_headers(1, request_headers())
                client.h2.send_data(1, framed(b"x" * 101)[:5])
                client.flush()
                trailers = headers_of(await client.wait_for(ResponseReceived, 1))
        finally:
            server.close()
            await server.wait_closed()
        assert trailers["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
        assert trailers["grpc-message"] == "the message has 101 bytes; at most 100 are allowed"

    async def test_flow_control_is_given_back(self, client: RawClient) -> None:
        """Many times the window can be sent on one connection, also on streams that fail early."""
        body = framed(bytes(Ask(service="x" * 60_000)))
        for number in range(100):
            stream_id = 1 + 2 * number
            path = "/test.Echo/Echo" if number % 2 else "/test.Echo/Nothing"
            client.h2.send_headers(stream_id, request_headers(path))
            rest = body
            while rest:
                window = client.h2.local_flow_control_window(stream_id)
                assert window > 0, f"no window after {number} streams"
                size = min(window, 16384, len(rest))
                try:
                    client.h2.send_data(stream_id, rest[:size], end_stream=size == len(rest))
                except Exception:  # the server has reset the stream that it does not know
                    break
                rest = rest[size:]
                client.flush()
            await client.wait_for(StreamEnded, stream_id)


class TestFrames:
    async def test_priority_is_ignored(self, client: RawClient) -> None:
        """PRIORITY, on streams that are open, idle or over, changes nothing."""
        client.h2.send_headers(1, request_headers())
        frames = [PriorityFrame(stream_id, depends_on=0, stream_weight=9) for stream_id in (1, 7)]
        client.send_raw(b"".join(frame.serialize() for frame in frames))
        client.h2.send_data(1, framed(ADA), end_stream=True)
        client.flush()
        assert await answers(client, 1) == (["Ada"], "0")

    async def test_continuation(self, client: RawClient) -> None:
        """Headers in three frames are read as one block."""
        client.flush()
        client.h2.send_headers(1, request_headers(some_key="v" * 300))
        block = client.h2.data_to_send()[9:]
        parts = [
            HeadersFrame(1, block[:20]),
            ContinuationFrame(1, block[20:50]),
            ContinuationFrame(1, block[50:], flags=["END_HEADERS"]),
        ]
        client.send_raw(b"".join(part.serialize() for part in parts))
        client.h2.send_data(1, framed(ADA), end_stream=True)
        client.flush()
        assert await answers(client, 1) == (["Ada"], "0")

    async def test_another_protocol(self, server: Server) -> None:
        """HTTP/1.1 is answered with a GOAWAY and closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        data = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        goaway = b"\x07\x00\x00\x00\x00\x00"
        assert goaway in data


class TestStreams:
    async def test_a_reset_with_the_headers(self, server: Server, client: RawClient) -> None:
        """Rapid Reset (CVE-2023-44487): streams that are reset at once are all released."""
        for number in range(200):
            stream_id = 1 + 2 * number
            client.h2.send_headers(stream_id, request_headers())
            client.h2.send_data(stream_id, framed(ADA))
            client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
            client.flush()
        client.h2.ping(b"12345678")
        client.flush()
        await client.wait_for(PingAckReceived)
        client.h2.send_headers(1001, request_headers())
        client.h2.send_data(1001, framed(ADA), end_stream=True)
        client.flush()
        assert await answers(client, 1001) == (["Ada"], "0")
        (connection,) = server._connections
        assert connection.connection.streams == {}
        assert server.open_calls == 0


class TestGoaway:
    async def test_what_comes_after_an_angry_goaway(self, server: Server) -> None:
        """It is read and dropped, so that the client sees an orderly end, and opens nothing."""
        async with frame_client(server.port) as client:
            await client.wait_for(SETTINGS)
            client.send(frame(GOAWAY, 0, 0, bytes(4) + (255).to_bytes(4, "big")))
            client.send(
                frame(PING, 0, 0, b"12345678"),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x84\x86"),
            )
            while data := await client.reader.read(1000):  # raises if the connection is reset
                client.received += data
        assert server.open_calls == 0
        assert server.statistics().calls_opened == 0

    async def test_a_client_that_goes_in_anger(self, service: Echo, client: RawClient) -> None:
        """A GOAWAY with an error ends the connection, and the handlers on it."""
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await service.started.wait()
        client.send_raw(frame(GOAWAY, 0, 0, bytes(4) + (2).to_bytes(4, "big")))
        await client.wait_closed()
        await asyncio.wait_for(service.ended.wait(), 10)


async def be_answered(client: RawClient) -> None:
    """Says something on the first stream, and waits for the answer to it."""
    before = client.data_of(1)
    client.h2.send_data(1, framed(ADA))
    client.flush()
    async with asyncio.timeout(10):
        while client.data_of(1) == before:
            await client._read()


class TestTurns:
    @pytest.mark.parametrize(("in_a_frame", "most"), [(1, 200), (1000, 200)])
    async def test_of_one_who_floods(self, server: Server, in_a_frame: int, most: int) -> None:
        """Whoever comes while much is read of another one is served before all that is."""
        async with raw_client(server.port) as flood, raw_client(server.port) as other:
            for client in (flood, other):
                client.h2.send_headers(1, request_headers())
                client.h2.send_data(1, framed(ADA))
                client.flush()
                await client.wait_for(DataReceived, 1)
            for _ in range(3000 // in_a_frame):
                flood.h2.send_data(1, framed(ADA) * in_a_frame)
            flood.flush()
            await be_answered(other)
            assert server.statistics().messages_sent < most
            flood.h2.end_stream(1)
            flood.flush()
            texts, status = await answers(flood, 1)
            assert (len(texts), status) == (3001, "0")
            assert server._connections.fair_share.waiting == 0

    async def test_of_one_who_leaves(self, server: Server) -> None:
        """Who is gone before its turn does not wait for it."""
        async with raw_client(server.port) as flood, raw_client(server.port):
            flood.h2.send_headers(1, request_headers())
            for _ in range(3000):
                flood.h2.send_data(1, framed(ADA))
            flood.flush()
            while not (fair_share := server._connections.fair_share).waiting:
                await asyncio.sleep(0)
            flood.writer.transport.abort()
            async with asyncio.timeout(10):
                while fair_share.waiting:
                    await asyncio.sleep(0)

    async def test_of_many_calls(self, server: Server) -> None:
        """So it is when much is opened."""
        async with raw_client(server.port) as flood, raw_client(server.port) as other:
            other.h2.send_headers(1, request_headers())
            other.h2.send_data(1, framed(ADA))
            other.flush()
            await other.wait_for(DataReceived, 1)
            for number in range(1, 2 * 500, 2):
                flood.h2.send_headers(number, request_headers())
                flood.h2.send_data(number, framed(ADA), end_stream=True)
            flood.flush()
            await be_answered(other)
            assert server.statistics().calls_opened < 50
            assert await answers(flood, 2 * 499 + 1) == (["Ada"], "0")

"""Our client passes the cases of a server that is hard on its HTTP/2.

https://github.com/grpc/grpc/blob/master/doc/http2-interop-test-descriptions.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatify_stream.errors import StatusError
from chatify_stream.wire import Channel, Status

from ..support.waiting import TIMEOUT
from ..wire.raw import framed
from .calls import LARGE_RESPONSE, full_duplex, large_request, large_unary, unary, zeros
from .http2_server import Incoming, http2_server
from .messages.grpc import testing as pb

RESPONSE = bytes(pb.SimpleResponse(payload=zeros(LARGE_RESPONSE)))


async def answer(call: Incoming) -> None:
    """Answers each request with the large response."""
    call.send_headers()
    while await call.receive() is not None:
        await call.send_message(RESPONSE)
    call.send_trailers()


class TestGoaway:
    async def test_goaway(self) -> None:
        """After a GOAWAY the next call goes over another connection."""

        async def script(call: Incoming) -> None:
            await answer(call)
            call.connection.send_goaway(call.stream_id)

        async with (
            http2_server(script) as server,
            Channel("127.0.0.1", server.port) as channel,
        ):
            await large_unary(channel)
            await server.connections[0].wait_closed()
            await large_unary(channel)
            assert len(server.connections) == 2

    async def test_goaway_in_the_middle_of_a_stream(self) -> None:
        """After a GOAWAY an open stream goes on to its end, beside a new call elsewhere."""

        async def script(call: Incoming) -> None:
            if call.connection is server.connections[0]:
                call.connection.send_goaway(call.stream_id)
            await answer(call)

        async with (
            http2_server(script) as server,
            Channel("127.0.0.1", server.port) as channel,
        ):
            async with full_duplex(channel) as stream:
                await stream.send_message(pb.StreamingOutputCallRequest())
                assert (await stream.recv_message()).payload == zeros(LARGE_RESPONSE)
                await large_unary(channel)
                assert len(server.connections) == 2
                await stream.send_message(pb.StreamingOutputCallRequest())
                assert (await stream.recv_message()).payload == zeros(LARGE_RESPONSE)
                await stream.end()
                assert await stream.recv_message() is None
                assert not server.connections[0].is_closed
            await server.connections[0].wait_closed()
            assert not server.connections[1].is_closed


class TestReset:
    """RST_STREAM with error code 0, instead of an end that gRPC knows."""

    @pytest.fixture(params=["rst_after_header", "rst_during_data", "rst_after_data"])
    async def case(self, request: pytest.FixtureRequest) -> str:
        case: str = request.param
        return case

    @pytest.fixture
    async def channel(self, case: str) -> AsyncIterator[Channel]:
        """To a server that resets the first call, and answers those after it."""
        data = framed(RESPONSE)
        sent = {"rst_after_header": 0, "rst_during_data": len(data) // 2}.get(case, len(data))

        async def script(call: Incoming) -> None:
            if call.stream_id > 1:
                await answer(call)
                return
            await call.receive()
            call.send_headers()
            await call.send_data(data[:sent])
            call.reset()

        async with (
            http2_server(script) as server,
            Channel("127.0.0.1", server.port) as channel,
        ):
            yield channel
            assert len(server.connections) == 1

    async def test_the_call_fails(self, channel: Channel) -> None:
        """The call fails, whatever of the response has come; the one after it does not."""
        with pytest.raises(StatusError, match="reset the stream with NO_ERROR") as caught:
            await large_unary(channel)
        assert caught.value.status is Status.INTERNAL
        await large_unary(channel)

    async def test_no_part_of_a_message(self, channel: Channel, case: str) -> None:
        """A message that came whole can be read before the call fails, a part of one cannot."""
        received = []
        with pytest.raises(StatusError):
            async with unary(channel) as call:
                await call.send_message(large_request(), end=True)
                received.append(await call.recv_message())
        assert [message.payload for message in received] == (
            [zeros(LARGE_RESPONSE)] if case == "rst_after_data" else []
        )


async def test_ping() -> None:
    """Each ping is answered with what it brought, in order."""

    async def script(call: Incoming) -> None:
        await call.receive()
        ping = call.connection.send_ping
        ping("headers>")
        call.send_headers()
        ping("<headers")
        ping("data>")
        await call.send_message(RESPONSE)
        ping("<data")
        call.send_trailers()

    async with http2_server(script) as server, Channel("127.0.0.1", server.port) as channel:
        await large_unary(channel)
        (connection,) = server.connections
        async with asyncio.timeout(TIMEOUT):
            while connection.pings:
                await asyncio.sleep(0)


async def test_max_streams() -> None:
    """Calls beyond the server's limit wait for their turn, on the same connection."""
    async with (
        http2_server(answer, max_streams=1) as server,
        Channel("127.0.0.1", server.port) as channel,
    ):
        await large_unary(channel)
        await asyncio.gather(*(large_unary(channel) for _ in range(15)))
        assert [connection.most_calls for connection in server.connections] == [1]


@pytest.mark.parametrize(
    "padding",
    [
        pytest.param(255, id="data_frame_padding"),
        pytest.param(None, id="no_df_padding_sanity_test"),
    ],
)
async def test_tiny_frames(padding: int | None) -> None:
    """A response in frames of 5 bytes is read; their padding counts for the window."""

    async def script(call: Incoming) -> None:
        await call.receive()
        call.send_headers()
        await call.send_data(framed(RESPONSE), size=5, padding=padding)
        call.send_trailers()

    async with http2_server(script) as server, Channel("127.0.0.1", server.port) as channel:
        await large_unary(channel)

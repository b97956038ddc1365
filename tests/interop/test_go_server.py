"""Our client passes the interop cases at grpc-go's interop server, and at our own.

Left out: `pick_first_unary`, because our channel has one address; the cases of compression, which
grpc-go's server does not have; and those that need credentials of Google's cloud.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from grpclib.config import Configuration

from chatify_stream.errors import CancelledCallError, DeadlineExceededError, StatusError
from chatify_stream.wire import Cardinality, Channel, Status

from ..e2e.peers import CERTIFIED_NAME
from ..e2e.processes import ListeningProcess
from .calls import SECONDS, full_duplex, large_unary, unary, zeros
from .messages.grpc import testing as pb
from .messages.xds.data.orca.v3 import OrcaLoadReport
from .messages.xds.service.orca.v3 import OpenRcaServiceStub, OrcaLoadReportRequest
from .service import ECHO_INITIAL, ECHO_TRAILING, LOAD_REPORT, serving

NewChannel = Callable[[], Channel]

REQUEST_SIZES = (27_182, 8, 1_828, 45_904)
RESPONSE_SIZES = (31_415, 9, 2_653, 58_979)

METADATA = {ECHO_INITIAL: "test_initial_metadata_value", ECHO_TRAILING: b"\xab\xab\xab"}

LOAD = {"cpu_utilization": 0.821, "utilization": {"util": 0.30499}}
MEMORY = 0.5847  # has another name in each of the two messages


@pytest.fixture(
    params=[
        pytest.param("grpc-go", marks=pytest.mark.slow),
        pytest.param("grpc-go-tls", marks=pytest.mark.slow),
        "ours",
    ]
)
async def new_channel(request: pytest.FixtureRequest) -> AsyncIterator[NewChannel]:
    """Makes channels to one of the servers."""
    if request.param == "ours":
        async with serving() as server:
            yield lambda: Channel("127.0.0.1", server.port)
    elif request.param == "grpc-go":
        go_server: ListeningProcess = request.getfixturevalue("go_server")
        yield lambda: Channel("127.0.0.1", go_server.port)
    else:
        go_server = request.getfixturevalue("go_tls_server")
        tls: ssl.SSLContext = request.getfixturevalue("client_tls")
        config = Configuration(ssl_target_name_override=CERTIFIED_NAME)
        yield lambda: Channel("127.0.0.1", go_server.port, ssl=tls, config=config)


@pytest.fixture
async def channel(new_channel: NewChannel) -> AsyncIterator[Channel]:
    async with new_channel() as channel:
        yield channel


@pytest.fixture
async def stub(channel: Channel) -> pb.TestServiceStub:
    return pb.TestServiceStub(channel, timeout=SECONDS)


def output_request(*sizes: int, payload: int = 0) -> pb.StreamingOutputCallRequest:
    """Asks for a response of each size."""
    return pb.StreamingOutputCallRequest(
        response_parameters=[pb.ResponseParameters(size=size) for size in sizes],
        payload=zeros(payload),
    )


class TestUnary:
    async def test_empty_unary(self, stub: pb.TestServiceStub) -> None:
        """A message without any byte is answered with one."""
        assert await stub.empty_call(pb.Empty()) == pb.Empty()

    async def test_large_unary(self, channel: Channel) -> None:
        """A request and a response that are larger than any window."""
        await large_unary(channel)

    async def test_unimplemented_method(self, stub: pb.TestServiceStub) -> None:
        """A method that the server's service does not have is UNIMPLEMENTED, by its name."""
        with pytest.raises(StatusError, match="UnimplementedCall") as caught:
            await stub.unimplemented_call(pb.Empty())
        assert caught.value.status is Status.UNIMPLEMENTED

    async def test_unimplemented_service(self, channel: Channel) -> None:
        """A service that the server does not have is UNIMPLEMENTED, by its name."""
        with pytest.raises(StatusError, match="UnimplementedService") as caught:
            await pb.UnimplementedServiceStub(channel, timeout=SECONDS).unimplemented_call(
                pb.Empty()
            )
        assert caught.value.status is Status.UNIMPLEMENTED

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param("test status message", id="status_code_and_message"),
            pytest.param(
                "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \U0001f608\t\n",
                id="special_status_message",
            ),
        ],
    )
    async def test_status(self, channel: Channel, stub: pb.TestServiceStub, message: str) -> None:
        """The server's status comes as it was sent, for a unary call and for a stream."""
        status = pb.EchoStatus(code=2, message=message)
        with pytest.raises(StatusError) as caught:
            await stub.unary_call(pb.SimpleRequest(response_status=status))
        assert (caught.value.status, caught.value.message) == (Status.UNKNOWN, message)

        with pytest.raises(StatusError) as caught:
            async with full_duplex(channel) as stream:
                request = pb.StreamingOutputCallRequest(response_status=status)
                await stream.send_message(request, end=True)
                await stream.recv_message()
        assert (caught.value.status, caught.value.message) == (Status.UNKNOWN, message)

    async def test_rpc_soak(self, go_server: ListeningProcess) -> None:
        """1,000 large calls on one channel make one connection, and none fails."""
        async with Channel("127.0.0.1", go_server.port) as channel:
            await channel.connect()
            connection = channel._protocol
            for _ in range(1_000):
                await large_unary(channel)
            assert channel._protocol is connection

    async def test_channel_soak(self, go_server: ListeningProcess) -> None:
        """100 large calls, each on a channel of its own, do not fail."""
        for _ in range(100):
            async with Channel("127.0.0.1", go_server.port) as channel:
                await large_unary(channel)


class TestStreaming:
    async def test_client_streaming(self, stub: pb.TestServiceStub) -> None:
        """The server has got all that was sent."""
        response = await stub.streaming_input_call(
            [pb.StreamingInputCallRequest(payload=zeros(size)) for size in REQUEST_SIZES]
        )
        assert response.aggregated_payload_size == sum(REQUEST_SIZES)

    async def test_server_streaming(self, stub: pb.TestServiceStub) -> None:
        """One request is answered with each response that it asks for, in order."""
        responses = stub.streaming_output_call(output_request(*RESPONSE_SIZES))
        payloads = [response.payload async for response in responses]
        assert payloads == [zeros(size) for size in RESPONSE_SIZES]

    async def test_server_streaming_with_pauses(self, stub: pb.TestServiceStub) -> None:
        """Responses that the server takes its time for come all the same."""
        request = output_request(1, 2)
        for response in request.response_parameters:
            response.interval_us = 1_000
        responses = stub.streaming_output_call(request)
        assert [len(response.payload.body) async for response in responses] == [1, 2]

    async def test_ping_pong(self, channel: Channel) -> None:
        """Each request is answered before the next one is sent."""
        async with full_duplex(channel) as stream:
            for sent, expected in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
                await stream.send_message(output_request(expected, payload=sent))
                response = await stream.recv_message()
                assert response.payload == zeros(expected)
            await stream.end()
            assert await stream.recv_message() is None

    async def test_half_duplex(self, stub: pb.TestServiceStub) -> None:
        """The requests are answered after the last of them."""
        requests = [output_request(size) for size in RESPONSE_SIZES]
        responses = stub.half_duplex_call(requests)
        payloads = [response.payload async for response in responses]
        assert payloads == [zeros(size) for size in RESPONSE_SIZES]

    async def test_empty_stream(self, stub: pb.TestServiceStub) -> None:
        """A stream may have no message in either direction."""
        assert [response async for response in stub.full_duplex_call([])] == []


class TestEnding:
    async def test_cancel_after_begin(self, channel: Channel) -> None:
        """A call that is cancelled before its first message is CANCELLED."""
        async with channel.request(
            "/grpc.testing.TestService/StreamingInputCall",
            Cardinality.STREAM_UNARY,
            pb.StreamingInputCallRequest,
            pb.StreamingInputCallResponse,
            metadata={"key1": "value1", "key2": "value2"},
        ) as stream:
            await stream.send_request()
            await stream.cancel()
            with pytest.raises(CancelledCallError):
                await stream.recv_message()

    async def test_cancel_after_first_response(self, channel: Channel) -> None:
        """A call that is cancelled after its first response is CANCELLED."""
        async with full_duplex(channel) as stream:
            await stream.send_message(output_request(31_415, payload=27_182))
            assert (await stream.recv_message()).payload == zeros(31_415)
            await stream.cancel()
            with pytest.raises(CancelledCallError):
                await stream.recv_message()
        await large_unary(channel)  # the connection is as good as before

    async def test_timeout_on_sleeping_server(self, channel: Channel) -> None:
        """A call whose server says nothing is DEADLINE_EXCEEDED when its time is over."""
        await channel.connect()
        with pytest.raises(DeadlineExceededError):
            async with full_duplex(channel, timeout=0.001) as stream:
                await stream.send_message(output_request(payload=27_182))
                await stream.recv_message()
        await large_unary(channel)


class TestMetadata:
    async def test_custom_metadata(self, channel: Channel) -> None:
        """What the server is to send back comes with the response and with the status."""
        async with unary(channel, metadata=METADATA) as call:
            await call.send_message(pb.SimpleRequest(response_size=1, payload=zeros(1)), end=True)
            assert (await call.recv_message()).payload == zeros(1)
        async with full_duplex(channel, metadata=METADATA) as stream:
            await stream.send_message(output_request(1, payload=1))
            assert (await stream.recv_message()).payload == zeros(1)
            await stream.end()
            assert await stream.recv_message() is None
        for ended in (call, stream):
            assert ended.initial_metadata is not None
            assert ended.initial_metadata.getall(ECHO_INITIAL) == [METADATA[ECHO_INITIAL]]
            assert ended.trailing_metadata is not None
            assert ended.trailing_metadata.getall(ECHO_TRAILING) == [METADATA[ECHO_TRAILING]]

    async def test_orca_per_rpc(self, channel: Channel) -> None:
        """The server's load comes with the status of the call."""
        cost = {"cost": 3456.32}
        report = pb.TestOrcaReport(memory_utilization=MEMORY, request_cost=cost, **LOAD)
        async with unary(channel) as call:
            await call.send_message(pb.SimpleRequest(orca_per_query_report=report), end=True)
            await call.recv_message()
        assert call.trailing_metadata is not None
        load = OrcaLoadReport.parse(call.trailing_metadata[LOAD_REPORT])
        assert load == OrcaLoadReport(mem_utilization=MEMORY, request_cost=cost, **LOAD)

    async def test_orca_oob(self, channel: Channel) -> None:
        """The server's load comes on a stream of its own, beside the call."""
        async with full_duplex(channel) as stream:
            request = output_request(1)
            request.orca_oob_report = pb.TestOrcaReport(memory_utilization=MEMORY, **LOAD)
            await stream.send_message(request)
            await stream.recv_message()
            orca = OpenRcaServiceStub(channel, timeout=SECONDS)
            loads = orca.stream_core_metrics(OrcaLoadReportRequest())
            assert await anext(loads) == OrcaLoadReport(mem_utilization=MEMORY, **LOAD)
            await loads.aclose()
            await stream.end()


class TestOurServer:
    """What grpc-go's server does not have."""

    async def test_cacheable_unary(self) -> None:
        """The same request has the same response."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            stub = pb.TestServiceStub(channel, metadata={"x-user-ip": "1.2.3.4"})
            request = pb.SimpleRequest(response_size=10, payload=pb.Payload(body=b"1234567890"))
            responses = [await stub.cacheable_unary_call(request) for _ in range(2)]
            assert responses == [pb.SimpleResponse(payload=zeros(10))] * 2

    async def test_no_such_payload(self) -> None:
        """A payload that cannot be is refused."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(StatusError) as caught:
                await pb.TestServiceStub(channel).unary_call(pb.SimpleRequest(response_size=-1))
        assert caught.value.status is Status.INVALID_ARGUMENT

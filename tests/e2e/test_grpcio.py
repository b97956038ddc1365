"""grpcio clients of our server: chat, health and reflection."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from chatify_stream import ChatServer, Session
from chatify_stream.server import Handler

from .chat_messages import CHAT_PROTO, compile_proto
from .client_contract import ALIASES, CHAT, MEGABYTE, MESSAGES, REPLIES, TEXTS
from .grpcio_client import CALL_SECONDS, OpenChat, chat, open_channel, unary_chat
from .processes import ServerProcess

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
PROTO_FILES = [
    CHAT_PROTO,
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
]


@pytest.fixture
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with open_channel(server.address) as channel:
        yield channel


@pytest.fixture
def reflecting_channel(reflecting_server: ServerProcess) -> Iterator[grpc.Channel]:
    with open_channel(reflecting_server.address) as channel:
        yield channel


def status_of(read: Callable[[], object]) -> grpc.StatusCode:
    """The status that `read`, which must fail, fails with."""
    with pytest.raises(grpc.RpcError) as caught:
        read()
    assert isinstance(caught.value, grpc.Call)
    return caught.value.code()


class TestChat:
    @pytest.mark.parametrize("method", [CHAT, *ALIASES])
    def test_burst(self, channel: grpc.Channel, method: str) -> None:
        """Messages sent at once are all answered, in order, then OK, under every path."""
        call = chat(channel, MESSAGES, method)
        assert [reply.message for reply in call] == REPLIES
        assert (call.code(), call.details()) == (grpc.StatusCode.OK, "")

    def test_no_message(self, channel: grpc.Channel) -> None:
        """A stream that is half-closed at once ends OK without a reply."""
        call = chat(channel, [])
        assert list(call) == []
        assert call.code() is grpc.StatusCode.OK

    @pytest.mark.parametrize("method", [CHAT, *ALIASES])
    def test_pingpong(self, channel: grpc.Channel, method: str) -> None:
        """Each reply comes while the client's side is open; the half-close brings only OK."""
        with OpenChat(channel, method) as stream:
            for text in TEXTS:
                stream.send(text)
                assert stream.receive() == f"Hello {text}"
            stream.half_close()
            assert list(stream.call) == []
            assert stream.call.code() is grpc.StatusCode.OK

    @pytest.mark.parametrize("text", [*TEXTS, "x" * MEGABYTE], ids=lambda text: text[:10])
    def test_unary(self, channel: grpc.Channel, text: str) -> None:
        """A unary call of the streaming method gets its one reply."""
        assert unary_chat(channel, text) == f"Hello {text}"

    def test_metadata(self, channel: grpc.Channel) -> None:
        """Metadata the server knows nothing of, binary metadata too, does not disturb a call."""
        metadata = (
            ("x-request-id", "a, b; c"),
            ("x-trace-bin", b"\x00\xff\n,"),
            ("x-name-bin", "名字".encode()),
            ("x-empty-bin", b""),
        )
        call = chat(channel, MESSAGES, metadata=metadata)
        assert [reply.message for reply in call] == REPLIES

    def test_megabyte(self, channel: grpc.Channel) -> None:
        """Messages larger than every flow-control window come back whole and in order."""
        names = [letter * MEGABYTE for letter in "abc"]
        assert [reply.message for reply in chat(channel, names)] == [f"Hello {n}" for n in names]

    def test_many_messages(self, channel: grpc.Channel) -> None:
        """10,000 messages on one stream are answered in order."""
        names = [str(number) for number in range(10_000)]
        assert [reply.message for reply in chat(channel, names)] == [f"Hello {n}" for n in names]

    def test_parallel_streams(self, server: ServerProcess) -> None:
        """200 streams open at once over 4 connections each get their own replies."""
        with ExitStack() as stack:
            channels = [stack.enter_context(open_channel(server.address)) for _ in range(4)]
            streams = [stack.enter_context(OpenChat(channels[n % 4])) for n in range(200)]
            for number in range(3):
                for index, stream in enumerate(streams):
                    stream.send(f"stream {index} message {number}")
                for index, stream in enumerate(streams):
                    assert stream.receive() == f"Hello stream {index} message {number}"
            for stream in streams:
                stream.half_close()
            for stream in streams:
                assert list(stream.call) == []
                assert stream.call.code() is grpc.StatusCode.OK

    def test_cancel(self, channel: grpc.Channel) -> None:
        """A cancelled stream ends CANCELLED while another on its connection goes on."""
        with OpenChat(channel) as cancelled, OpenChat(channel) as other:
            for stream in (cancelled, other):
                stream.send("first")
                assert stream.receive() == "Hello first"
            cancelled.call.cancel()
            assert status_of(cancelled.receive) is grpc.StatusCode.CANCELLED
            other.send("second")
            assert other.receive() == "Hello second"

    def test_deadline(self, channel: grpc.Channel) -> None:
        """A stream ends at its deadline while another on its connection goes on."""
        grpc.channel_ready_future(channel).result(CALL_SECONDS)
        with OpenChat(channel, timeout=0.7) as late, OpenChat(channel) as other:
            assert status_of(late.receive) is grpc.StatusCode.DEADLINE_EXCEEDED
            other.send("still here")
            assert other.receive() == "Hello still here"

    @pytest.mark.parametrize("method", ["/service.v1.Service/Shout", "/no.such.Service/Chat"])
    def test_unknown_method(self, channel: grpc.Channel, method: str) -> None:
        """What is not served is UNIMPLEMENTED, and the connection stays usable."""
        call = chat(channel, MESSAGES, method)
        assert status_of(lambda: next(call)) is grpc.StatusCode.UNIMPLEMENTED
        assert unary_chat(channel, "next") == "Hello next"


class TestCompression:
    @pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_chat(self, server: ServerProcess, compression: grpc.Compression) -> None:
        """A client that compresses is understood, and understands the answer, at any size."""
        names = [*TEXTS, "x" * MEGABYTE, *MESSAGES]
        with open_channel(server.address, compression) as channel:
            assert [reply.message for reply in chat(channel, names)] == [
                f"Hello {name}" for name in names
            ]
            assert unary_chat(channel, "x" * MEGABYTE) == "Hello " + "x" * MEGABYTE

    @pytest.mark.parametrize("name", ["gzip", "deflate", "identity"])
    async def test_as_the_requests(self, name: str) -> None:
        """What the client compresses with is what the handler replies with."""

        async def handler(session: Session) -> None:
            async for request in session:
                await session.send(f"{session.compression}: {request.name}")

        compression = {
            "gzip": grpc.Compression.Gzip,
            "deflate": grpc.Compression.Deflate,
            "identity": grpc.Compression.NoCompression,
        }[name]
        replies = await replies_of(handler, ["Ada", "x" * MEGABYTE], compression)
        assert replies == [f"{name}: Ada", f"{name}: " + "x" * MEGABYTE]

    @pytest.mark.parametrize("name", ["gzip", "deflate"])
    async def test_as_the_handler_says(self, name: str) -> None:
        """A client that does not compress accepts it all the same."""

        async def handler(session: Session) -> None:
            session.compression = name
            async for request in session:
                await session.send(f"{session.compression}: {request.name}")

        replies = await replies_of(handler, ["x" * MEGABYTE])
        assert replies == [f"{name}: " + "x" * MEGABYTE]


async def replies_of(
    handler: Handler,
    names: list[str],
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> list[str]:
    """What a server with this handler answers to a client in a thread."""

    def talk() -> list[str]:
        with open_channel(f"127.0.0.1:{server.port}", compression) as channel:
            return [reply.message for reply in chat(channel, names)]

    async with ChatServer(handler=handler) as server:
        await server.start("127.0.0.1", 0)
        return await asyncio.to_thread(talk)


class TestHealth:
    @pytest.mark.parametrize("service", ["", "service.v1.Service"])
    def test_check(self, channel: grpc.Channel, service: str) -> None:
        """The server as a whole and the chat service report SERVING."""
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request, timeout=CALL_SECONDS).status == SERVING

    def test_check_unknown(self, channel: grpc.Channel) -> None:
        """A service nobody serves is NOT_FOUND."""
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="no.such.Service")
        code = status_of(lambda: stub.Check(request, timeout=CALL_SECONDS))
        assert code is grpc.StatusCode.NOT_FOUND

    @pytest.mark.parametrize(
        ("service", "status"),
        [("", SERVING), ("service.v1.Service", SERVING), ("no.such.Service", SERVICE_UNKNOWN)],
    )
    def test_watch_stays_open(self, channel: grpc.Channel, service: str, status: int) -> None:
        """A watch tells the status at once and stays open, for an unknown service too."""
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        watch = stub.Watch(request, timeout=CALL_SECONDS)
        assert next(watch).status == status
        # Whatever the server wrote with the first status arrives before the reply to this.
        assert unary_chat(channel, "next") == "Hello next"
        assert watch.is_active()
        watch.cancel()
        assert status_of(lambda: next(watch)) is grpc.StatusCode.CANCELLED

    def test_watch_at_shutdown(self, own_server: ServerProcess) -> None:
        """At SIGTERM every watch reports NOT_SERVING, then ends; the server exits with 0."""
        with open_channel(own_server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [
                stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=CALL_SECONDS)
                for name in ("", "service.v1.Service")
            ]
            assert [next(watch).status for watch in watches] == [SERVING, SERVING]
            own_server.terminate()
            assert [next(watch).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
            assert own_server.wait() == 0
            for watch in watches:
                assert status_of(lambda watch=watch: next(watch)) is grpc.StatusCode.UNAVAILABLE


class TestReflection:
    def test_list_services(self, reflecting_channel: grpc.Channel) -> None:
        """Reflection names the chat service, health, and itself in both versions."""
        database = ProtoReflectionDescriptorDatabase(reflecting_channel)
        assert {
            "service.v1.Service",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        } <= set(database.get_services())

    def test_describe_service(self, reflecting_channel: grpc.Channel) -> None:
        """A client finds the method and its messages with nothing but reflection."""
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(reflecting_channel))
        service = pool.FindServiceByName("service.v1.Service")
        assert [method.name for method in service.methods] == ["Chat"]
        chat_method = service.methods[0]
        assert (chat_method.client_streaming, chat_method.server_streaming) == (True, True)
        request, reply = chat_method.input_type, chat_method.output_type
        assert (request.full_name, reply.full_name) == ("service.v1.ChatReq", "service.v1.ChatRsp")
        assert request.fields_by_name["name"].number == 1
        assert reply.fields_by_name["message"].number == 1

    @pytest.mark.parametrize("version", ["v1", "v1alpha"])
    @pytest.mark.parametrize("proto", PROTO_FILES)
    def test_descriptors(self, reflecting_channel: grpc.Channel, proto: str, version: str) -> None:
        """The descriptor of each file is what protoc makes of it, to the last field."""
        request = reflection_pb2.ServerReflectionRequest(file_by_filename=proto)
        [answer] = reflection(reflecting_channel, version)(iter([request]), timeout=CALL_SECONDS)
        files = map(
            FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto
        )
        assert next(file for file in files if file.name == proto) == compile_proto(proto)[-1]

    @pytest.mark.parametrize("version", ["v1", "v1alpha"])
    def test_unknown_symbol(self, reflecting_channel: grpc.Channel, version: str) -> None:
        """What is asked for in vain is answered NOT_FOUND on a stream that goes on."""
        ask = reflection(reflecting_channel, version)
        vain = reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Name")
        known = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol=CHAT[1:].split("/")[0]
        )
        first, second = ask(iter([vain, known]), timeout=CALL_SECONDS)
        assert first.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert len(second.file_descriptor_response.file_descriptor_proto) >= 1

    @pytest.mark.parametrize("version", ["v1", "v1alpha"])
    def test_off_by_default(self, channel: grpc.Channel, version: str) -> None:
        """Without the option there is no reflection."""
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection(channel, version)(iter([request]), timeout=CALL_SECONDS)
        assert status_of(lambda: next(call)) is grpc.StatusCode.UNIMPLEMENTED


def reflection(channel: grpc.Channel, version: str) -> grpc.StreamStreamMultiCallable:
    """The method in one of its versions, whose messages are the same on the wire."""
    return channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )

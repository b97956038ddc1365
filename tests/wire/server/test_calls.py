"""How calls begin and end on the wire."""

from __future__ import annotations

import asyncio
import logging

import pytest
from grpclib.exceptions import GRPCError
from h2.errors import ErrorCodes
from h2.events import ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from hpack import Decoder, Encoder

from chatify_stream.errors import (
    CallError,
    DeadlineExceededError,
    StatusError,
    UnavailableError,
)
from chatify_stream.messages.google.protobuf import Any
from chatify_stream.wire import Cardinality, Channel, Server, ServerStream, Status

from ...support.frames import END_HEADERS, HEADERS, PING
from ..raw import RawClient, frame_client, framed, request_headers
from ..raw import frame as http2_frame
from ..services import Answer, Ask, Echo, Handler

RUN = ("/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer)
ADA = framed(bytes(Ask(service="Ada")))


async def failure(channel: Channel, path: str = "/test.Echo/Run") -> CallError:
    """The error that a call to the handler ends with."""
    with pytest.raises(CallError) as caught:
        async with channel.request(path, Cardinality.STREAM_STREAM, Ask, Answer) as stream:
            await stream.send_message(Ask(service="Ada"), end=True)
            while await stream.recv_message() is not None:
                pass
    return caught.value


async def test_a_malformed_call_is_answered(client: RawClient) -> None:
    """A call that cannot be understood gets status, text and content-type, and is over."""
    client.h2.send_headers(1, request_headers(grpc_timeout="soon"))
    client.flush()
    headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
    assert headers[":status"] == "200"
    assert headers["content-type"] == "application/grpc+proto"
    assert headers["grpc-status"] == str(Status.INVALID_ARGUMENT.value)
    assert "soon" in headers["grpc-message"]
    reset = await client.wait_for(StreamReset, 1)
    assert reset.error_code == ErrorCodes.NO_ERROR


async def test_the_http_status_of_a_call_that_is_not_grpc(client: RawClient) -> None:
    """What does not speak gRPC gets an HTTP status that says so."""
    client.h2.send_headers(1, request_headers(content_type="text/html"), end_stream=True)
    client.flush()
    headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
    assert headers[":status"] == "415"


@pytest.mark.parametrize(
    "error",
    [
        StatusError(Status.NOT_FOUND, "没有 nothing", [Any(type_url="a/b", value=b"c")]),
        GRPCError(Status.NOT_FOUND, "没有 nothing", [Any(type_url="a/b", value=b"c")]),
    ],
)
async def test_a_status_of_the_handler(channel: Channel, service: Echo, error: GRPCError) -> None:
    """Status, text and details that a handler raises are what the client gets."""

    async def handler(stream: ServerStream) -> None:
        raise error

    service.handler = handler
    caught = await failure(channel)
    assert type(caught) is StatusError
    assert (caught.status, caught.message) == (Status.NOT_FOUND, "没有 nothing")
    assert caught.details == [Any(type_url="a/b", value=b"c")]


async def test_trailers_with_a_status(channel: Channel, service: Echo) -> None:
    """Metadata of the error, and trailers set before, both go with the status."""

    async def handler(stream: ServerStream) -> None:
        stream.trailers["kept"] = "yes"
        raise StatusError(Status.ABORTED, "later", metadata={"retry-after": "5", "raw-bin": b"\0"})

    service.handler = handler
    caught = await failure(channel)
    assert caught.metadata == {"kept": "yes", "retry-after": "5", "raw-bin": b"\0"}


async def test_trailers_that_cannot_be_sent(channel: Channel, service: Echo) -> None:
    """Wrong trailers are INTERNAL with a text, not a call that hangs."""

    async def handler(stream: ServerStream) -> None:
        stream.trailers["Not Valid"] = "yes"

    service.handler = handler
    caught = await failure(channel)
    assert caught.status is Status.INTERNAL
    assert "trailers" in (caught.message or "")


async def raise_value_error(stream: ServerStream) -> None:
    raise ValueError("the password is 1234")


async def await_a_cancelled_future(stream: ServerStream) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def raise_timeout_error(stream: ServerStream) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    "handler", [raise_value_error, await_a_cancelled_future, raise_timeout_error]
)
async def test_a_handler_that_fails(
    channel: Channel, service: Echo, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets INTERNAL and nothing of the exception, which is logged; others go on."""
    service.handler = handler
    async with channel.request(
        "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
    ) as bystander:
        await bystander.send_message(Ask(service="before"))
        caught = await failure(channel)
        assert (caught.status, caught.message) == (Status.INTERNAL, "the handler failed")
        await bystander.send_message(Ask(service="after"), end=True)
        assert [message.name async for message in bystander] == ["before", "after"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ["/test.Echo/Run: the handler failed"]
    assert errors[0].exc_info is not None


async def test_a_unary_handler_without_an_answer(channel: Channel, service: Echo) -> None:
    """A unary handler that returns without a message is INTERNAL."""

    async def handler(stream: ServerStream) -> None:
        await stream.recv_message()

    service.handler = handler
    caught = await failure(channel, "/test.Echo/One")
    assert (caught.status, caught.message) == (Status.INTERNAL, "the handler sent no message")


async def take_one(stream: ServerStream) -> None:
    await stream.recv_message()


async def take_all(stream: ServerStream) -> None:
    await stream.recv_messages()


@pytest.mark.parametrize("handler", [take_one, take_all])
async def test_a_unary_call_without_a_message(
    client: RawClient, service: Echo, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the client's fault: it is told so, and nothing is logged as ours."""
    service.handler = handler
    client.h2.send_headers(1, request_headers("/test.Echo/One"), end_stream=True)
    client.flush()
    headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
    assert headers["grpc-status"] == str(Status.UNIMPLEMENTED.value)
    assert headers["grpc-message"] == "the method takes one message, and the call has none"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_handler_that_ends_early(client: RawClient, service: Echo, server: Server) -> None:
    """A handler may end before the client does: the status goes out, and the stream is reset."""

    async def handler(stream: ServerStream) -> None:
        await stream.send_message(Answer(name="enough"))

    service.handler = handler
    client.h2.send_headers(1, request_headers("/test.Echo/Run"))
    client.h2.send_data(1, ADA)
    client.flush()
    trailers = dict((await client.wait_for(TrailersReceived, 1)).headers)
    assert trailers["grpc-status"] == "0"
    await client.wait_for(StreamEnded, 1)
    reset = await client.wait_for(StreamReset, 1)
    assert reset.error_code == ErrorCodes.NO_ERROR
    (connection,) = server._connections
    assert connection.connection.streams == {}


async def test_a_deadline(channel: Channel, service: Echo) -> None:
    """When the deadline passes, the handler is cancelled and both sides know why."""

    async def handler(stream: ServerStream) -> None:
        assert stream.deadline is not None
        await asyncio.sleep(60)

    service.handler = handler
    with pytest.raises(DeadlineExceededError) as caught:
        async with channel.request(
            "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer, timeout=0.2
        ) as stream:
            await stream.send_request()
            await stream.recv_message()
    assert caught.value.status is Status.DEADLINE_EXCEEDED
    await asyncio.wait_for(service.ended.wait(), 10)


async def test_the_deadline_on_the_wire(client: RawClient, service: Echo) -> None:
    """A client that does not look at the clock itself is told DEADLINE_EXCEEDED."""

    async def handler(stream: ServerStream) -> None:
        await asyncio.sleep(60)

    service.handler = handler
    client.h2.send_headers(1, request_headers("/test.Echo/Run", grpc_timeout="50m"))
    client.flush()
    headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
    assert headers["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)


async def test_a_reset_cancels_the_handler(client: RawClient, service: Echo) -> None:
    """When the client resets its stream, the handler is cancelled."""
    cancelled = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        try:
            await stream.recv_message()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    service.handler = handler
    client.h2.send_headers(1, request_headers("/test.Echo/Run"))
    client.flush()
    await service.started.wait()
    client.h2.reset_stream(1, ErrorCodes.CANCEL)
    client.flush()
    await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_lost_connection_cancels_the_handlers(client: RawClient, service: Echo) -> None:
    """When the connection is cut, its handlers are cancelled."""
    client.h2.send_headers(1, request_headers("/test.Echo/Run"))
    client.flush()
    await service.started.wait()
    client.writer.transport.abort()
    await asyncio.wait_for(service.ended.wait(), 10)


async def test_calls_while_the_server_closes(server: Server, channel: Channel) -> None:
    """A call that is open when the server closes ends UNAVAILABLE, with the reason."""
    with pytest.raises(UnavailableError) as caught:
        async with channel.request(
            "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
        ) as stream:
            await stream.send_message(Ask(service="Ada"))
            await stream.recv_message()
            server.close()
            await stream.recv_message()
            await stream.recv_trailing_metadata()
    assert caught.value.message == "the server is shutting down"


async def test_a_call_that_begins_as_the_server_closes(server: Server) -> None:
    """A call that came in the turn of `close` gets its status, although its task had not begun."""
    async with frame_client(server.port) as client:
        client.send(http2_frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        (connection,) = server._connections
        fields = Encoder().encode(request_headers())
        connection.data_received(http2_frame(HEADERS, END_HEADERS, 1, fields))
        server.close()
        answer = dict(Decoder().decode(await client.wait_for(HEADERS, 1)))
        assert answer["grpc-status"] == str(Status.UNAVAILABLE.value)
        assert answer["grpc-message"] == "the server is shutting down"
        await client.wait_closed()


class TestCancellation:
    """What a handler feels when its call ends under it; in grpclib it is cancelled twice."""

    ENDS = ("reset", "connection", "deadline", "close")

    async def end(self, how: str, client: RawClient, server: Server) -> None:
        if how == "reset":
            client.h2.reset_stream(1, ErrorCodes.CANCEL)
            client.flush()
        elif how == "connection":
            client.writer.transport.abort()
        elif how == "close":
            server.close()

    @pytest.mark.parametrize("how", ENDS)
    async def test_once(self, how: str, client: RawClient, service: Echo, server: Server) -> None:
        """Its task is cancelled once, and has all the time it needs to clean up."""
        felt: list[int] = []

        async def handler(stream: ServerStream) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                task = asyncio.current_task()
                assert task is not None
                felt.append(task.cancelling())
                await asyncio.sleep(0)
                felt.append(task.cancelling())

        await self.run(how, handler, client, service, server)
        assert felt == [1, 1]

    @pytest.mark.parametrize("how", ENDS)
    async def test_task_groups_and_timeouts(
        self, how: str, client: RawClient, service: Echo, server: Server
    ) -> None:
        """Tasks and timeouts within it end as they should, and nothing after them runs."""
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("child")
                raise

        async def handler(stream: ServerStream) -> None:
            try:
                async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                    group.create_task(child())
                    group.create_task(child())
                ended.append("after")
            except asyncio.CancelledError:
                ended.append("handler")
                raise

        await self.run(how, handler, client, service, server)
        assert ended == ["child", "child", "handler"]

    async def test_a_timeout_of_its_own(self, channel: Channel, service: Echo) -> None:
        """A timeout within a handler is the handler's, and its call goes on."""

        async def handler(stream: ServerStream) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))
            await stream.send_message(Answer(name="still here"))

        service.handler = handler
        async with channel.request(*RUN) as stream:
            await stream.send_request(end=True)
            assert [message.name async for message in stream] == ["still here"]

    async def run(
        self, how: str, handler: Handler, client: RawClient, service: Echo, server: Server
    ) -> None:
        service.handler = handler
        timeout = {"grpc_timeout": "100m"} if how == "deadline" else {}
        client.h2.send_headers(1, request_headers("/test.Echo/Run", **timeout))
        client.flush()
        await service.started.wait()
        await self.end(how, client, server)
        await asyncio.wait_for(service.ended.wait(), 10)
        async with asyncio.timeout(10):
            while server.open_calls:
                await asyncio.sleep(0.01)

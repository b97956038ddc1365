"""Tests of wire/client/stream.py: the errors of calls."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import (
    CallError,
    CancelledCallError,
    ClosedError,
    DeadlineExceededError,
    PeerProtocolError,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.wire import Cardinality, Channel, Limits, Rate, Server, ServerStream, Status
from chatify_stream.wire.client.stream import encode_timeout
from chatify_stream.wire.connection.grpc_headers import read_request
from chatify_stream.wire.http2.frame_types import PREFACE_SIZE

from ...support.frames import DATA, END_STREAM, HEADERS, SETTINGS
from ..calling import RESPONSE, call, failure, scripted_server
from ..peers import accepting
from ..raw import frame, framed, frames_in, request_headers
from ..services import Answer, Ask, Echo

ANSWER = framed(bytes(Answer(name="Ada")))


class TestResets:
    @pytest.mark.parametrize(
        ("code", "kind", "status"),
        [
            (ErrorCodes.REFUSED_STREAM, UnavailableError, Status.UNAVAILABLE),
            (ErrorCodes.CANCEL, CancelledCallError, Status.CANCELLED),
            (ErrorCodes.ENHANCE_YOUR_CALM, StatusError, Status.RESOURCE_EXHAUSTED),
            (ErrorCodes.INADEQUATE_SECURITY, StatusError, Status.PERMISSION_DENIED),
            (ErrorCodes.NO_ERROR, StatusError, Status.INTERNAL),
            (ErrorCodes.PROTOCOL_ERROR, StatusError, Status.INTERNAL),
            (0xABC, StatusError, Status.INTERNAL),
        ],
    )
    async def test_codes(self, code: int, kind: type[CallError], status: Status) -> None:
        """A reset has the gRPC status of its code, and the message names the code."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.reset_stream(event.stream_id, code)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert type(error) is kind
        assert isinstance(error, CallError)
        assert error.status is status
        name = code.name if isinstance(code, ErrorCodes) else str(code)
        assert name in str(error)

    async def test_a_reset_after_the_answer(self) -> None:
        """A server may answer and then reset the rest of the request. The answer counts."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, RESPONSE)
            h2.send_data(event.stream_id, framed(bytes(Answer(name="one"))))
            h2.send_data(event.stream_id, framed(bytes(Answer(name="two"))))
            h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
            h2.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request()
            assert [message.name async for message in stream] == ["one", "two"]
            await stream.recv_trailing_metadata()
            with pytest.raises(ClosedError):
                await stream.send_message(Ask(service="too late"))

    async def test_many_after_the_answer(self, service: Echo, server: Server) -> None:
        """Calls that the server ends early do not end the connection."""

        async def handler(stream: ServerStream) -> None:
            raise StatusError(Status.UNAUTHENTICATED, "no")

        service.handler = handler
        limits = Limits(resets=Rate(5, 1.0))
        async with Channel("127.0.0.1", server.port, limits=limits) as channel:
            for _ in range(50):
                with pytest.raises(StatusError, match="no"):
                    async with channel.request(
                        "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer
                    ) as stream:
                        await stream.send_request()
                        await stream.recv_message()
            assert channel._pool.connections.opened == 1

    async def test_a_message_at_once_with_the_reset(self) -> None:
        """A message in the same read as the reset is delivered to a waiting reader."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            if event.stream_id == 1:
                h2.send_headers(1, RESPONSE)
            else:
                h2.send_data(1, framed(bytes(Answer(name="last words"))))
                h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)

        received = []
        async with scripted_server(behave) as channel:
            with pytest.raises(StatusError, match="INTERNAL_ERROR"):
                async with call(channel) as stream, call(channel) as other:
                    await stream.send_request()
                    await stream.recv_initial_metadata()
                    await other.send_request()
                    while True:
                        received.append((await stream.recv_message()).name)
        assert received == ["last words"]

    async def test_a_sender_learns_the_status(self) -> None:
        """Sending on a failed call raises its status, also while waiting to send."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            headers = [*RESPONSE, ("grpc-status", "7"), ("grpc-message", "no%21")]
            h2.send_headers(event.stream_id, headers, end_stream=True)
            h2.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)

        async with scripted_server(behave) as channel:
            with pytest.raises(StatusError) as caught:
                async with call(channel) as stream:
                    while True:
                        await stream.send_message(Ask(service="x" * 10_000))
        assert (caught.value.status, caught.value.message) == (Status.PERMISSION_DENIED, "no!")

    async def test_a_reset_at_the_deadline(self) -> None:
        """A reset with CANCEL after the deadline is DEADLINE_EXCEEDED."""
        async with scripted_server(lambda h2, event: None) as channel:
            error = await failure(channel, timeout=0.1)
        assert type(error) is DeadlineExceededError


class TestAnswers:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ([(":status", "404"), ("content-type", "text/html")], Status.UNIMPLEMENTED),
            ([(":status", "503")], Status.UNAVAILABLE),
            ([(":status", "200"), ("content-type", "text/html")], Status.UNKNOWN),
            ([(":status", "200")], Status.UNKNOWN),
            ([*RESPONSE, ("grpc-status", "many")], Status.UNKNOWN),
        ],
    )
    async def test_answers_that_are_not_grpc(
        self, headers: list[tuple[str, str]], status: Status
    ) -> None:
        """A plain HTTP response is a PeerProtocolError with the gRPC status of its code."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, headers, end_stream=True)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert type(error) is PeerProtocolError
        assert error.status is status

    @pytest.mark.parametrize(
        ("sections", "fault"),
        [
            ([[("content-type", "application/grpc")]], ":status is missing"),
            ([[*RESPONSE, ("connection", "close")]], "connection is an HTTP/1 field"),
            ([RESPONSE, [("grpc-status", "0"), (":path", "/")]], "':path' is not allowed here"),
        ],
    )
    async def test_malformed_answers(self, sections: list[list[Any]], fault: str) -> None:
        """A malformed response is an error. Other calls continue."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            for headers in sections if event.stream_id == 1 else [RESPONSE, [("grpc-status", "0")]]:
                is_last = headers[0][0] == "grpc-status"
                h2.send_headers(event.stream_id, headers, end_stream=is_last)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
            assert type(error) is PeerProtocolError
            assert str(error).endswith(f"is wrong: {fault}")
            async with call(channel) as stream:
                await stream.send_message(Ask(service="Ada"), end=True)
                assert await stream.recv_message() is None

    async def test_a_server_that_pings_with_each_call(self) -> None:
        """A server may send a PING with every call, as grpc-go does."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.ping(bytes(8))
            trailers = [*RESPONSE, ("grpc-status", "5")]
            h2.send_headers(event.stream_id, trailers, end_stream=True)

        limits = Limits(pings=Rate(5, 1.0))
        async with scripted_server(behave, partial(Channel, limits=limits)) as channel:
            for _ in range(50):
                assert (await failure(channel)).status is Status.NOT_FOUND
            assert channel._pool.connections.opened == 1

    async def test_a_server_that_sends_too_much(self) -> None:
        """A server that exceeds a limit is UNAVAILABLE, and the error names the limit."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            for _ in range(20):
                h2.ping(bytes(8))

        limits = Limits(pings=Rate(5, 1.0))
        async with scripted_server(behave, partial(Channel, limits=limits)) as channel:
            error = await failure(channel)
        assert type(error) is UnavailableError
        assert "sent more than is allowed (too_many_pings)" in str(error)

    async def test_why_the_server_ended_the_connection(self) -> None:
        """The error has the text of the GOAWAY."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings \xff")

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert type(error) is UnavailableError
        assert str(error).endswith(r"ended the connection (ENHANCE_YOUR_CALM: too_many_pings \xff)")

    async def test_a_long_reason(self) -> None:
        """The error has at most 200 bytes of the text of a GOAWAY."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, b"x" * 10_000)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert str(error).endswith(f"(ENHANCE_YOUR_CALM: {'x' * 200})")

    @pytest.mark.parametrize("count", [0, 1, 2])
    async def test_no_status(self, count: int) -> None:
        """A response without trailers is a PeerProtocolError, raised immediately."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, RESPONSE, end_stream=not count)
            if count:
                h2.send_data(event.stream_id, ANSWER * count, end_stream=True)

        received = []
        async with scripted_server(behave) as channel:
            with pytest.raises(PeerProtocolError, match="Missing grpc-status header"):
                async with asyncio.timeout(10), call(channel) as stream:
                    await stream.send_request(end=True)
                    while (message := await stream.recv_message()) is not None:
                        received.append(message.name)
        assert received == ["Ada"] * count

    async def test_no_headers(self) -> None:
        """An empty response is a PeerProtocolError, raised immediately."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(frame(SETTINGS, 0, 0, b""))
            received = await reader.readexactly(PREFACE_SIZE)
            while HEADERS not in [kind for kind, _ in frames_in(received[PREFACE_SIZE:])]:
                received += await reader.read(65536)
            writer.write(frame(DATA, END_STREAM, 1, b""))
            await reader.read()

        async with (
            accepting(serve) as address,
            Channel(target=address) as channel,
            asyncio.timeout(10),
        ):
            error = await failure(channel)
        assert type(error) is PeerProtocolError
        assert str(error).endswith("is wrong: it ended before it began")

    @pytest.mark.parametrize("value", ["A", "AAA,AAAAA", "!!!!", "é"])
    @pytest.mark.parametrize("where", ["headers", "trailers", "trailers alone"])
    async def test_metadata_that_cannot_be_read(self, where: str, value: str) -> None:
        """Binary metadata that is not base64 is a PeerProtocolError that names the key."""
        wrong = ("raw-bin", value.encode("latin-1"))

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            trailers = [("grpc-status", "0")]
            if where == "trailers alone":
                h2.send_headers(event.stream_id, [*RESPONSE, *trailers, wrong], end_stream=True)
            elif where == "trailers":
                h2.send_headers(event.stream_id, RESPONSE)
                h2.send_headers(event.stream_id, [*trailers, wrong], end_stream=True)
            else:
                h2.send_headers(event.stream_id, [*RESPONSE, wrong])

        async with scripted_server(behave) as channel:
            with pytest.raises(PeerProtocolError, match="of raw-bin is not valid base64"):
                async with call(channel) as stream:
                    await stream.send_request(end=True)
                    while await stream.recv_message() is not None:
                        pass

    async def test_binary_values_in_one_field(self) -> None:
        """Binary values in one field are split, padded or not."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, [*RESPONSE, ("raw-bin", "AA==,/w,AAA")])
            trailers = [("grpc-status", "0"), ("raw-bin", "/w"), ("raw-bin", "AA")]
            h2.send_headers(event.stream_id, trailers, end_stream=True)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request(end=True)
            assert await stream.recv_message() is None
            await stream.recv_trailing_metadata()
            assert stream.initial_metadata.getall("raw-bin") == [b"\0", b"\xff", b"\0\0"]
            assert stream.trailing_metadata.getall("raw-bin") == [b"\xff", b"\0"]

    @pytest.mark.parametrize("details", ["A", "é"])
    async def test_details_that_cannot_be_read(self, details: str) -> None:
        """Malformed status details do not affect the status and its message."""
        status = [("grpc-status", "5"), ("grpc-message", "gone")]

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            fields = [*status, ("grpc-status-details-bin", details.encode("latin-1"))]
            h2.send_headers(event.stream_id, [*RESPONSE, *fields], end_stream=True)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert type(error) is StatusError
        assert (error.status, error.message, error.details) == (Status.NOT_FOUND, "gone", None)

    async def test_http_1(self) -> None:
        """A server that speaks HTTP/1.1 is a PeerProtocolError."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with Channel("127.0.0.1", port) as channel:
            error = await failure(channel)
        listener.close()
        assert type(error) is PeerProtocolError
        assert f"127.0.0.1:{port} does not speak gRPC" in str(error)

    async def test_a_status_before_the_requests_end(self) -> None:
        """A server may answer OK before the client has half-closed, which ends the call."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, [*RESPONSE, ("grpc-status", "0")], end_stream=True)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request()
            assert await stream.recv_message() is None

    @pytest.mark.parametrize("code", [0, 5])
    async def test_a_status_alone(self, code: int) -> None:
        """A trailers-only response is available from recv_trailing_metadata."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            headers = [*RESPONSE, ("grpc-status", str(code))]
            h2.send_headers(event.stream_id, headers, end_stream=True)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request(end=True)
            if code:
                with pytest.raises(StatusError):
                    await stream.recv_trailing_metadata()
            else:
                await stream.recv_trailing_metadata()

    async def test_1xx(self) -> None:
        """Interim responses (1xx) are ignored."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.send_headers(event.stream_id, [(":status", "103"), ("link", "x")])
            h2.send_headers(event.stream_id, [*RESPONSE, ("grpc-status", "0")], end_stream=True)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request(end=True)
            assert await stream.recv_message() is None

    async def test_what_came_before_the_loss(self, server: Server, channel: Channel) -> None:
        """Messages received before a loss are delivered before the error."""
        async with call(channel) as stream:
            for name in "abc":
                await stream.send_message(Ask(service=name))
            received = [(await stream.recv_message()).name]
            while len(stream._stream.inbox._messages) < 2:
                await asyncio.sleep(0)
            for connection in list(server._connections):
                connection.abort()
            while channel._connected:
                await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="was lost"):
                while True:
                    received.append((await stream.recv_message()).name)
            await stream.cancel()
        assert received == ["a", "b", "c"]

    async def test_the_connection_is_lost(self, server: Server, channel: Channel) -> None:
        """A call whose connection is aborted is UNAVAILABLE."""
        with pytest.raises(UnavailableError, match="was lost"):
            async with call(channel) as stream:
                await stream.send_request()
                for connection in list(server._connections):
                    connection.abort()
                await stream.recv_message()


class TestTasks:
    """A failing call does not cancel the task that awaits it."""

    async def test_reset(self) -> None:
        """A reset by the server does not leave the task cancelled."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)

        async with scripted_server(behave) as channel:
            assert type(await failure(channel)) is StatusError
        assert_not_cancelled()

    async def test_deadline(self) -> None:
        """A passed deadline does not leave the task cancelled."""
        async with scripted_server(lambda h2, event: None) as channel:
            assert type(await failure(channel, timeout=0.01)) is DeadlineExceededError
        assert_not_cancelled()

    async def test_a_timeout_around_it(self) -> None:
        """An `asyncio.timeout` around several failing calls still raises TimeoutError."""
        async with scripted_server(lambda h2, event: None) as channel:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await failure(channel, timeout=0.01)
                    await failure(channel, timeout=3600)


def assert_not_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class TestUse:
    async def test_metadata_that_cannot_be_sent(self, channel: Channel) -> None:
        """Metadata with an invalid key or value is a UsageError."""
        for metadata in ({"Upper": "a"}, {"grpc-x": "a"}, {"text": "ü"}, {"text": b"a"}):
            with pytest.raises(UsageError):
                async with call(channel, metadata=metadata) as stream:
                    await stream.send_request()

    async def test_leaving_a_call_that_was_not_ended(self, channel: Channel) -> None:
        """Leaving a call before its requests are ended is an error and does not hang."""
        with pytest.raises(UsageError, match="not ended"):
            async with call(channel) as stream:
                await stream.send_message(Ask(service="Ada"))
                await stream.recv_message()

    async def test_leaving_a_call_that_was_not_begun(self, channel: Channel) -> None:
        """A call that is left without a request is never sent."""
        async with call(channel, timeout=60):
            pass

    async def test_an_exception_resets_the_call(self, channel: Channel, service: Echo) -> None:
        """An exception that leaves the call resets it: the handler is cancelled."""
        with pytest.raises(KeyError):
            async with channel.request(
                "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer
            ) as stream:
                await stream.send_request()
                await service.started.wait()
                raise KeyError
        await asyncio.wait_for(service.ended.wait(), 10)

    async def test_cancel(self, channel: Channel, service: Echo) -> None:
        """`cancel` ends the call on both sides, wakes readers, and may be called again."""
        async with channel.request(
            "/test.Echo/Run", Cardinality.STREAM_STREAM, Ask, Answer
        ) as stream:
            await stream.send_request()
            await service.started.wait()
            reading = asyncio.create_task(stream.recv_message())
            await asyncio.sleep(0)
            await stream.cancel()
            await stream.cancel()
            with pytest.raises(CancelledCallError):
                await reading
            with pytest.raises(CancelledCallError):
                await stream.send_message(Ask(service="Ada"))
        await asyncio.wait_for(service.ended.wait(), 10)

    async def test_a_deadline_in_the_past(self, channel: Channel) -> None:
        """A call whose deadline has passed is not sent."""
        error = await failure(channel, timeout=0)
        assert type(error) is DeadlineExceededError

    async def test_unary_rules(self, channel: Channel) -> None:
        """A unary request is one message. Sending more or none is a UsageError."""
        with pytest.raises(UsageError, match="needs its message"):
            async with channel.request(
                "/test.Echo/One", Cardinality.UNARY_UNARY, Ask, Answer
            ) as stream:
                await stream.send_request(end=True)

    async def test_sending_the_request_twice(self, channel: Channel) -> None:
        """The request is sent once."""
        with pytest.raises(UsageError, match="already"):
            async with call(channel) as stream:
                await stream.send_request()
                await stream.send_request()


@given(st.floats(0, 99_999_999))
def test_timeouts_are_never_shortened(seconds: float) -> None:
    """The timeout sent is at least the remaining time, and at most 0.01 % longer."""
    request = read_request(
        request_headers(grpc_timeout=encode_timeout(seconds)), {"/test.Echo/Echo"}, "proto", 2**20
    )
    assert request.deadline is not None
    # Reading it takes a moment, which the deadline already lacks.
    assert seconds - 1 <= request.deadline.time_remaining() <= seconds * 1.0001 + 1e-6

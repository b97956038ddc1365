"""Tests of compression in inboxes, servers and clients."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from h2.connection import H2Connection
from h2.events import RequestReceived, ResponseReceived, StreamEnded, TrailersReceived
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import StatusError, UsageError
from chatify_stream.wire import Channel, Server, ServerStream, Status
from chatify_stream.wire.connection.compression import (
    ENCODINGS,
)
from chatify_stream.wire.connection.inbox import MAX_AT_ONCE, Inbox

from ..calling import RESPONSE, call, failure, scripted_server
from ..compressed import ALGORITHMS, LIMIT, LONG, NAMES, STREAM_STREAM, compressed, messages_in
from ..raw import RawClient, framed, raw_client, request_headers
from ..services import Answer, Ask, Echo
from ..sources import FakeSource


class TestInbox:
    @given(
        st.lists(st.tuples(st.binary(max_size=2000), st.booleans()), min_size=1),
        st.integers(1, 5),
        st.integers(1, 100),
    )
    def test_messages_of_both_kinds(
        self, messages: list[tuple[bytes, bool]], most: int, piece: int
    ) -> None:
        """Messages are delivered in order, and the whole window is returned."""
        source = FakeSource()
        inbox = Inbox(source, 1, LIMIT)
        inbox.encoding = "gzip"
        data = b"".join(
            framed(gzip.compress(message) if flag else message, compressed=flag)
            for message, flag in messages
        )
        for start in range(0, len(data), piece):
            inbox.add(data[start : start + piece], len(data[start : start + piece]))
        inbox.eof()

        async def read() -> list[bytes]:
            received = []
            while batch := await inbox.batch(most):
                assert len(batch) <= most
                received += batch
                if (message := inbox.next_nowait()) is not None:
                    received.append(message)
            return received

        assert asyncio.run(read()) == [message for message, _ in messages]
        assert source.given_back == len(data)

    async def test_waiting_messages_hold_wire_bytes_alone(self) -> None:
        """Waiting messages stay compressed, and the size of a batch is bounded."""
        source, message = FakeSource(), bytes(MAX_AT_ONCE - 1)
        inbox = Inbox(source, 1, MAX_AT_ONCE)
        inbox.encoding = "gzip"
        data = framed(gzip.compress(message), compressed=True)
        inbox.add(data * 100, len(data) * 100)
        assert not source.given_back
        assert await inbox.batch(100) == [message] * 2
        assert source.given_back == len(data) * 2
        assert await inbox.next() == message
        assert source.given_back == len(data) * 3
        assert inbox.unacked_size() == len(data) * 97

    @pytest.mark.parametrize("late", [framed(b"late"), b"\x02", framed(b"x" * (LIMIT + 1))])
    async def test_an_error_stands_in_its_place(self, late: bytes) -> None:
        """Messages before an invalid one are delivered, and the whole window is returned."""
        source = FakeSource()
        inbox = Inbox(source, 1, LIMIT)
        inbox.encoding = "gzip"
        data = framed(b"good") + framed(b"bad", compressed=True) + late
        inbox.add(data, len(data))
        assert await inbox.batch(10) == [b"good"]
        for _ in range(2):
            with pytest.raises(StatusError, match="is not valid gzip"):
                await inbox.batch(10)
            with pytest.raises(StatusError, match="is not valid gzip"):
                await inbox.next()
        inbox.add(b"more", 4)
        assert source.given_back == len(data) + 4
        assert inbox.unacked_size() == 0


async def answer(
    client: RawClient, data: bytes, *, path: str = "/test.Echo/Echo", **headers: str | None
) -> tuple[dict[str, str], dict[str, str], list[tuple[int, bytes]]]:
    """Return the headers, trailers and messages of a response; trailers-only has no headers."""
    stream_id = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream_id, request_headers(path, **headers))
    client.h2.send_data(stream_id, data, end_stream=True)
    client.flush()
    await client.wait_for(StreamEnded, stream_id)
    first = dict((await client.wait_for(ResponseReceived, stream_id)).headers)
    if "grpc-status" in first:
        return first, first, []
    last = dict((await client.wait_for(TrailersReceived, stream_id)).headers)
    return first, last, messages_in(client.data_of(stream_id))


class TestServer:
    @pytest.mark.parametrize("name", NAMES)
    async def test_replies_are_as_the_requests(self, client: RawClient, name: str) -> None:
        """Compressed requests are accepted, and replies use the same encoding."""
        data = compressed(Ask(service=LONG), name) + framed(bytes(Ask(service="Bob")))
        headers, trailers, messages = await answer(
            client, data, grpc_encoding=name, grpc_accept_encoding=f"br, {name}"
        )
        assert headers["grpc-encoding"] == name
        assert headers["grpc-accept-encoding"] == "identity,deflate,gzip"
        assert trailers["grpc-status"] == "0"
        (flag, first), (other_flag, second) = messages
        assert (flag, other_flag) == (1, 0)
        assert Answer.parse(ALGORITHMS[name][1](first)) == Answer(name=LONG)
        assert Answer.parse(second) == Answer(name="Bob")

    @pytest.mark.parametrize("accept", [None, "", "identity", "identity,deflate"])
    async def test_a_client_that_does_not_accept_it(
        self, client: RawClient, accept: str | None
    ) -> None:
        """A client that accepts no encoding gets uncompressed replies."""
        headers, trailers, messages = await answer(
            client,
            compressed(Ask(service=LONG), "gzip"),
            grpc_encoding="gzip",
            grpc_accept_encoding=accept,
        )
        assert "grpc-encoding" not in headers
        assert headers["grpc-accept-encoding"] == "identity,deflate,gzip"
        assert trailers["grpc-status"] == "0"
        assert messages == [(0, bytes(Answer(name=LONG)))]

    @pytest.mark.parametrize("encoding", [None, "identity"])
    @pytest.mark.parametrize("accept", [None, "identity,deflate,gzip"])
    async def test_plain_calls(
        self, client: RawClient, encoding: str | None, accept: str | None
    ) -> None:
        """An uncompressed call gets a response without encoding headers."""
        headers, trailers, messages = await answer(
            client,
            framed(bytes(Ask(service=LONG))),
            grpc_encoding=encoding,
            grpc_accept_encoding=accept,
        )
        assert headers == {":status": "200", "content-type": "application/grpc+proto"}
        assert trailers == {"grpc-status": "0"}
        assert messages == [(0, bytes(Answer(name=LONG)))]

    @pytest.mark.parametrize("encoding", ["br", "GZIP", "", "deflate,gzip"])
    async def test_an_unknown_encoding(self, client: RawClient, encoding: str) -> None:
        """It is UNIMPLEMENTED, and message and headers list the supported encodings."""
        headers, _, _ = await answer(client, framed(b""), grpc_encoding=encoding)
        assert headers["grpc-status"] == str(Status.UNIMPLEMENTED.value)
        assert headers["grpc-accept-encoding"] == "identity,deflate,gzip"
        assert repr(encoding) in headers["grpc-message"]
        assert "identity,deflate,gzip" in headers["grpc-message"]

    @pytest.mark.parametrize(
        ("data", "encoding", "status", "text"),
        [
            (framed(b"x", compressed=True), None, Status.INTERNAL, "has no grpc-encoding"),
            (framed(b"x", compressed=True), "identity", Status.INTERNAL, "has no grpc-encoding"),
            (b"\x02" + framed(b"x")[1:], "gzip", Status.INTERNAL, "has to be 0 or 1"),
            (framed(b"x", compressed=True), "gzip", Status.INTERNAL, "it is truncated"),
            (framed(b"", compressed=True), "gzip", Status.INTERNAL, "it is truncated"),
            (framed(b"xyz", compressed=True), "deflate", Status.INTERNAL, "not valid deflate"),
            (
                framed(gzip.compress(bytes(5_000_000)), compressed=True),
                "gzip",
                Status.RESOURCE_EXHAUSTED,
                "more than 4194304 bytes",
            ),
        ],
    )
    async def test_wrong_messages(
        self, client: RawClient, data: bytes, encoding: str | None, status: Status, text: str
    ) -> None:
        """Each ends with its status and message, and the connection stays open."""
        headers, _, _ = await answer(client, data, grpc_encoding=encoding)
        assert headers["grpc-status"] == str(status.value)
        assert text in headers["grpc-message"]
        _, trailers, messages = await answer(client, framed(bytes(Ask(service="Ada"))))
        assert (trailers["grpc-status"], len(messages)) == ("0", 1)

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_handler_that_asks_for_it(
        self, client: RawClient, service: Echo, name: str
    ) -> None:
        """A handler can compress replies, sent one by one or as a batch."""

        async def handler(stream: ServerStream) -> None:
            assert stream.compression == "identity"
            stream.compression = name
            assert stream.compression == name
            await stream.send_messages([Answer(name=LONG), Answer(name="Ada")])
            await stream.send_message(Answer(name=LONG))

        service.handler = handler
        headers, trailers, messages = await answer(
            client, b"", path="/test.Echo/Run", grpc_accept_encoding=ENCODINGS
        )
        assert (headers["grpc-encoding"], trailers["grpc-status"]) == (name, "0")
        assert [flag for flag, _ in messages] == [1, 0, 1]
        assert Answer.parse(ALGORITHMS[name][1](messages[2][1])) == Answer(name=LONG)

    async def test_a_handler_that_does_without(self, client: RawClient, service: Echo) -> None:
        """A handler can send uncompressed replies to compressed requests."""

        async def handler(stream: ServerStream) -> None:
            assert stream.compression == "gzip"
            stream.compression = "identity"
            async for message in stream:
                await stream.send_message(Answer(name=message.service))

        service.handler = handler
        headers, _, messages = await answer(
            client,
            compressed(Ask(service=LONG), "gzip"),
            path="/test.Echo/Run",
            grpc_encoding="gzip",
            grpc_accept_encoding=ENCODINGS,
        )
        assert "grpc-encoding" not in headers
        assert messages == [(0, bytes(Answer(name=LONG)))]

    async def test_a_client_that_accepts_nothing(self, client: RawClient, service: Echo) -> None:
        """An encoding that the client does not accept is not used."""

        async def handler(stream: ServerStream) -> None:
            stream.compression = "gzip"
            assert stream.compression == "identity"
            await stream.send_message(Answer(name=LONG))

        service.handler = handler
        headers, trailers, messages = await answer(client, b"", path="/test.Echo/Run")
        assert "grpc-encoding" not in headers
        assert trailers["grpc-status"] == "0"
        assert messages == [(0, bytes(Answer(name=LONG)))]

    async def test_wrong_use(self, channel: Channel, service: Echo) -> None:
        """An unknown name, or a change after the headers, is a UsageError."""
        caught: list[str] = []

        async def handler(stream: ServerStream) -> None:
            for name in ("zip", "gzip"):
                try:
                    stream.compression = name
                except UsageError as error:
                    caught.append(str(error))
                if name == "zip":
                    await stream.send_initial_metadata(metadata={"room": "one"})
            await stream.send_message(Answer(name="Ada"))

        service.handler = handler
        async with channel.request("/test.Echo/Run", *STREAM_STREAM) as stream:
            await stream.send_request(end=True)
            assert await stream.recv_message() == Answer(name="Ada")
        assert stream.initial_metadata is not None
        assert stream.initial_metadata["room"] == "one"
        unknown, late = caught
        assert "'zip' is not supported" in unknown
        assert "before the first reply" in late

    async def test_inflating_lets_others_run(self, server: Server, service: Echo) -> None:
        """Inflating many messages lets other tasks run."""
        turns: list[int] = []
        handled = 0

        async def handler(stream: ServerStream) -> None:
            nonlocal handled
            async for _ in stream:
                handled += 1

        async def other() -> None:
            while not service.ended.is_set():
                turns.append(handled)
                await asyncio.sleep(0)

        service.handler = handler
        async with raw_client(server.port) as client:
            data = compressed(Ask(service="x" * 10_000), "gzip")
            client.h2.send_headers(1, request_headers("/test.Echo/Run", grpc_encoding="gzip"))
            for _ in range(100):
                client.h2.send_data(1, data)
            client.h2.end_stream(1)
            client.flush()
            await service.started.wait()
            await other()
        assert handled == 100
        steps = [after - before for before, after in zip(turns, turns[1:], strict=False)]
        assert max(steps) == 1

    async def test_compressing_lets_others_run(self, channel: Channel, service: Echo) -> None:
        """Sending compressed messages endlessly lets other tasks run."""
        turns: list[int] = []
        sent = 0

        async def handler(stream: ServerStream) -> None:
            nonlocal sent
            stream.compression = "gzip"
            while sent < 100:
                await stream.send_message(Answer(name=LONG))
                sent += 1

        async def other() -> None:
            while not service.ended.is_set():
                turns.append(sent)
                await asyncio.sleep(0)

        service.handler = handler
        async with channel.request("/test.Echo/Run", *STREAM_STREAM) as stream:
            await stream.send_request(end=True)
            await service.started.wait()
            await other()
            assert [message.name async for message in stream] == [LONG] * 100
        steps = [after - before for before, after in zip(turns, turns[1:], strict=False)]
        assert max(steps) == 1


class TestClient:
    @pytest.mark.parametrize("name", ["identity", *NAMES])
    @pytest.mark.parametrize("way", ["channel", "call"])
    async def test_requests(self, server: Server, service: Echo, name: str, way: str) -> None:
        """A channel or a call can compress its requests, of any size."""
        seen: list[object] = []

        async def handler(stream: ServerStream) -> None:
            async for message in stream:
                await stream.send_message(Answer(name=message.service))
            seen.append((stream.compression, stream._stream.inbox.has_compressed))

        service.handler = handler
        options = {"compression": name}
        texts = ["Ada", LONG, "x" * 4_000_000, ""]
        async with (
            Channel("127.0.0.1", server.port, **(options if way == "channel" else {})) as channel,
            channel.request(
                "/test.Echo/Run", *STREAM_STREAM, **(options if way == "call" else {})
            ) as stream,
        ):
            for text in texts:
                await stream.send_message(Ask(service=text))
            await stream.end()
            assert [message.name async for message in stream] == texts
            is_compressed = name != "identity"
            assert stream._stream.inbox.has_compressed is is_compressed
        assert seen == [(name, is_compressed)]

    async def test_a_call_without(self, server: Server, service: Echo) -> None:
        """A call can turn off the compression of its channel."""

        async def handler(stream: ServerStream) -> None:
            assert stream.compression == "identity"
            await stream.send_message(Answer(name=(await stream.recv_message()).service))

        service.handler = handler
        async with (
            Channel("127.0.0.1", server.port, compression="gzip") as channel,
            channel.request("/test.Echo/Run", *STREAM_STREAM, compression="identity") as stream,
        ):
            await stream.send_message(Ask(service=LONG), end=True)
            assert await stream.recv_message() == Answer(name=LONG)

    async def test_unknown_names(self, channel: Channel) -> None:
        """An unknown name is an error immediately."""
        with pytest.raises(UsageError, match="compression: 'zip' is not supported"):
            Channel("127.0.0.1", 1, compression="zip")
        with pytest.raises(UsageError, match="compression: 'zip' is not supported"):
            call(channel, compression="zip")

    async def test_a_server_that_compresses(self) -> None:
        """Every call sends the supported encodings, and the server may use them."""
        requested: list[dict[str, str]] = []

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            requested.append(dict(event.headers))
            h2.send_headers(event.stream_id, [*RESPONSE, ("grpc-encoding", "deflate")])
            h2.send_data(event.stream_id, compressed(Answer(name=LONG), "deflate"))
            h2.send_data(event.stream_id, framed(bytes(Answer(name="Ada"))))
            h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)

        async with scripted_server(behave) as channel, call(channel) as stream:
            await stream.send_request(end=True)
            assert [message.name async for message in stream] == [LONG, "Ada"]
        assert requested[0]["grpc-accept-encoding"] == "identity,deflate,gzip"
        assert "grpc-encoding" not in requested[0]

    @pytest.mark.parametrize(
        ("encoding", "data", "status", "text"),
        [
            ("br", framed(b"x", compressed=True), Status.INTERNAL, "compressed with 'br'"),
            (None, framed(b"x", compressed=True), Status.INTERNAL, "has no grpc-encoding"),
            ("identity", framed(b"x", compressed=True), Status.INTERNAL, "has no grpc-encoding"),
            ("gzip", framed(b"x", compressed=True), Status.INTERNAL, "it is truncated"),
            ("gzip", b"\x03" + framed(b"x")[1:], Status.INTERNAL, "has to be 0 or 1"),
            (
                "deflate",
                framed(zlib.compress(bytes(5_000_000)), compressed=True),
                Status.RESOURCE_EXHAUSTED,
                "more than 4194304 bytes",
            ),
        ],
    )
    async def test_wrong_answers(
        self, encoding: str | None, data: bytes, status: Status, text: str
    ) -> None:
        """Each ends the call with its status and message, also if sent with the headers."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            headers = [*RESPONSE, ("grpc-encoding", encoding)] if encoding else RESPONSE
            h2.send_headers(event.stream_id, headers)
            h2.send_data(event.stream_id, data)

        async with scripted_server(behave) as channel:
            error = await failure(channel)
        assert isinstance(error, StatusError)
        assert error.status is status
        assert text in (error.message or "")

    async def test_a_server_that_does_not_read_it(self) -> None:
        """A server that rejects the encoding ends the call with its status and message."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            headers = [*RESPONSE, ("grpc-status", "12"), ("grpc-message", "no gzip")]
            h2.send_headers(event.stream_id, headers, end_stream=True)

        async with scripted_server(behave) as channel:
            error = await failure(channel, compression="gzip")
        assert isinstance(error, StatusError)
        assert (error.status, error.message) == (Status.UNIMPLEMENTED, "no gzip")

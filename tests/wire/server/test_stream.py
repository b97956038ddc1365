"""The stream of a handler: batches, framed messages, metadata, limits and aborting."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.exceptions import GRPCError, ProtocolError
from h2.errors import ErrorCodes
from h2.events import StreamEnded, StreamReset
from hpack import Decoder, Encoder

from chatify_stream.errors import (
    CallError,
    CancelledCallError,
    StatusError,
)
from chatify_stream.wire import Cardinality, Channel, Limits, Server, ServerStream, Status, frame

from ...support.frames import END_HEADERS, HEADERS, PING, WINDOW_UPDATE
from ..raw import RawClient, answers, frame_client, framed, request_headers
from ..raw import frame as http2_frame
from ..services import Answer, Ask, Echo

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


async def test_repeated_metadata(channel: Channel, service: Echo) -> None:
    """Each value of a key is sent and received: in requests, initial and trailing metadata."""
    seen: list[object] = []

    async def handler(stream: ServerStream) -> None:
        seen.append(stream.metadata.getall("key"))
        seen.append(stream.metadata.getall("key-bin"))
        await stream.send_initial_metadata(metadata=[("first", "1"), ("first", "2")])
        stream.trailers.add("last", "3")
        stream.trailers.add("last", "4")
        stream.trailers["other"] = "5"

    service.handler = handler
    sent = [("key", "a"), ("key", "b"), ("key-bin", b"\0"), ("key-bin", b"\xff")]
    async with channel.request(*RUN, metadata=sent) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() is None
    assert seen == [["a", "b"], [b"\0", b"\xff"]]
    assert stream.initial_metadata.getall("first") == ["1", "2"]
    assert stream.trailing_metadata.getall("last") == ["3", "4"]
    assert stream.trailing_metadata["other"] == "5"


@pytest.mark.parametrize("given", [{"key": "a"}, [("key", "a"), ("key", "b")]])
async def test_metadata_of_an_error(
    channel: Channel, service: Echo, given: dict[str, str] | list[tuple[str, str]]
) -> None:
    """The metadata of an error that a handler raises is that of the caller's error."""

    async def handler(stream: ServerStream) -> None:
        stream.trailers["key"] = "replaced"
        raise StatusError(Status.NOT_FOUND, "no", metadata=given)

    service.handler = handler
    error = await failure(channel)
    pairs = given.items() if isinstance(given, dict) else given
    assert list(error.metadata.items()) == list(pairs)
    assert error.metadata["key"] == "a"


async def test_metadata_of_send_trailing_metadata(channel: Channel, service: Echo) -> None:
    """It replaces the values that `trailers` has for the same key."""

    async def handler(stream: ServerStream) -> None:
        stream.trailers.extend([("key", "old"), ("key", "older"), ("other", "kept")])
        await stream.send_trailing_metadata(metadata=[("key", "a"), ("key", "b")])

    service.handler = handler
    async with channel.request(*RUN) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() is None
    assert stream.trailing_metadata.getall("key") == ["a", "b"]
    assert stream.trailing_metadata["other"] == "kept"


class TestGrpclibApi:
    """What `grpclib.server.Stream` offers beside messages and metadata."""

    async def test_cancel(self, client: RawClient, service: Echo) -> None:
        """A handler can reset its call, once."""
        errors: list[Exception] = []

        async def handler(stream: ServerStream) -> None:
            await stream.cancel()
            with pytest.raises(ProtocolError) as caught:
                await stream.cancel()
            errors.append(caught.value)

        service.handler = handler
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        reset = await client.wait_for(StreamReset, 1)
        assert reset.error_code == ErrorCodes.NO_ERROR
        assert len(errors) == 1

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            (None, Status.OK, None),
            (GRPCError(Status.NOT_FOUND, "no"), Status.NOT_FOUND, "no"),
            (ValueError("secret"), Status.UNKNOWN, "Internal Server Error"),
        ],
    )
    async def test_context_manager(
        self,
        channel: Channel,
        service: Echo,
        error: Exception | None,
        status: Status,
        message: str | None,
    ) -> None:
        """Leaving the stream ends the call, with the status of an exception if there is one."""

        async def handler(stream: ServerStream) -> None:
            async with stream:
                if error is not None:
                    raise error

        service.handler = handler
        if error is None:
            async with channel.request(*RUN) as stream:
                await stream.send_request(end=True)
                assert await stream.recv_message() is None
        else:
            caught = await failure(channel)
            assert (caught.status, caught.message) == (status, message)

    async def test_what_is_known_of_the_call(self, channel: Channel, service: Echo) -> None:
        """Peer, user agent, deadline and the messages themselves."""
        seen: list[object] = []

        async def handler(stream: ServerStream) -> None:
            host, port = stream.peer.addr()
            seen.extend([host, port > 0, stream.peer.cert()])
            seen.append(stream.user_agent.startswith("grpc-python-grpclib/"))
            seen.append(0 < stream.deadline.time_remaining() <= 10)
            seen.extend([message.service async for message in stream])

        service.handler = handler
        async with channel.request(*RUN, timeout=10) as stream:
            await stream.send_message(Ask(service="Ada"))
            await stream.send_message(Ask(service="Bob"), end=True)
            assert await stream.recv_message() is None
        assert seen == ["127.0.0.1", True, None, True, True, "Ada", "Bob"]


class TestBatches:
    async def test_what_is_decoded_until_an_error(self, channel: Channel, service: Echo) -> None:
        """Messages before one that cannot be read are given out first, then its error, always."""
        seen: list[object] = []

        async def handler(stream: ServerStream) -> None:
            await stream.recv_message()  # until all the others have come
            while True:
                try:
                    if not (batch := await stream.receive_batch(lambda data: data.decode("ascii"))):
                        return
                    seen.append(batch)
                except StatusError as error:
                    seen.append(error)
                    if len(seen) == 4:
                        raise

        service.handler = handler
        with pytest.raises(StatusError) as caught:
            async with channel.request(*RUN) as stream:
                for name in ["", "a", "b", "ö", "c"]:
                    await stream.send_message(Ask(service=name))
                await stream.end()
                await stream.recv_message()
        assert caught.value.status is Status.INTERNAL
        assert caught.value.message.startswith("not a valid HealthCheckRequest: ")
        assert seen[0] == ["\n\x01a", "\n\x01b"]
        assert [type(each) for each in seen[1:]] == [StatusError] * 3

    async def test_framed(self, channel: Channel, service: Echo) -> None:
        """What is framed once is sent as often as one likes, also without waiting."""
        framed = frame(bytes(Answer(name="Ada")))
        waited: list[bool] = []

        async def handler(stream: ServerStream) -> None:
            waited.append(stream.try_send_framed(framed))
            await stream.send_framed(framed * 2)
            waited.append(stream.try_send_framed(framed * 3))
            waited.append(stream.try_send_framed(b""))
            await stream.send_framed(b"")

        service.handler = handler
        async with channel.request(*RUN) as stream:
            await stream.send_request(end=True)
            assert [message.name async for message in stream] == ["Ada"] * 5
        assert waited == [False, True, True]

    async def test_a_client_that_takes_no_more(self, client: RawClient, service: Echo) -> None:
        """What its window has no room for is not sent, also not in part."""
        framed = frame(bytes(Answer(name="x" * 15_000)))
        sent: list[bool] = []

        async def handler(stream: ServerStream) -> None:
            await stream.send_initial_metadata()
            sent.append(stream.try_send_framed(framed * 2))
            sent.extend([stream.try_send_framed(framed) for _ in range(6)])

        service.handler = handler
        client.h2.send_headers(1, request_headers("/test.Echo/Run"), end_stream=True)
        client.flush()
        await client.wait_for(StreamEnded, 1)
        assert sent == [True, True, True, False, False, False, False]
        assert client.data_of(1) == framed * 4

    async def test_nothing_overtakes(self, client: RawClient, service: Echo) -> None:
        """What is sent without waiting is not sent before what waits already."""

        def message(text: str) -> bytes:
            return frame(bytes(Answer(name=text)))

        async def send(stream: ServerStream, text: str) -> None:
            await stream.send_framed(message(text))

        overtook: list[bool] = []

        async def handler(stream: ServerStream) -> None:
            await stream.send_initial_metadata()
            first = asyncio.create_task(send(stream, "a" * 70_000))  # more than the window
            await asyncio.sleep(0)
            second = asyncio.create_task(send(stream, "b"))
            await asyncio.sleep(0)
            while not second.done():
                overtook.append(stream.try_send_framed(message("c")))
                await asyncio.sleep(0)
            await first
            await send(stream, "d")

        service.handler = handler
        client.h2.send_headers(1, request_headers("/test.Echo/Run"), end_stream=True)
        client.flush()
        texts, _ = await answers(client, 1)
        assert [text[0] for text in texts] == ["a", "b", "d"]
        assert overtook
        assert not any(overtook)


class TestRoom:
    """Waiting for room for a message, so that it is not cut."""

    SENT = 60_000
    LEFT = 65_535 - SENT

    @pytest.mark.parametrize(
        ("size", "needed"),
        [(LEFT, 0), (10_000, 10_000 - LEFT), (32_767, 32_767 - LEFT), (200_000, 32_767 - LEFT)],
    )
    @pytest.mark.parametrize("short", ["stream", "connection", "both"])
    async def test_how_much(
        self, server: Server, service: Echo, size: int, needed: int, short: str
    ) -> None:
        """It is there for the message, or as much as such a peer takes of a large one."""
        steps: list[str] = []

        async def handler(stream: ServerStream) -> None:
            await stream.send_framed(frame(b"x" * (self.SENT - 5)))
            steps.append("sent")
            await stream.room_for(size)
            steps.append("room")

        service.handler = handler
        async with frame_client(server.port) as client:
            if short == "stream":
                client.send(update(0, 1_000_000))
            client.send(headers(1))
            if short == "connection":
                client.send(update(1, 1_000_000))
            await service.started.wait()
            while not steps:
                await asyncio.sleep(0)

            async def grant(increment: int) -> None:
                if increment:
                    both = short == "both"
                    client.send(update(1, increment) if both or short == "stream" else b"")
                    client.send(update(0, increment) if both or short == "connection" else b"")
                client.send(http2_frame(PING, 0, 0, bytes(8)))
                self.pings += 1
                await client.wait_for(PING, which=self.pings - 1)

            self.pings = 0
            if needed:
                await grant(needed - 1)
                assert steps == ["sent"]
                await grant(1)
            await asyncio.wait_for(service.ended.wait(), 10)
        assert steps == ["sent", "room"]

    async def test_a_client_that_never_reads(self, service: Echo) -> None:
        """It is waited for as long as the limits allow, and can still be told."""

        async def handler(stream: ServerStream) -> None:
            await stream.send_framed(frame(b"x" * 60_000))
            await stream.room_for(10_000)

        service.handler = handler
        server = Server([service], limits=Limits(write_timeout=0.1))
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            client.send(headers(1))
            await client.wait_for(HEADERS, 1, which=1)
            decoder = Decoder()
            decoder.decode(await client.wait_for(HEADERS, 1))
            answer = dict(decoder.decode(await client.wait_for(HEADERS, 1, which=1)))
        assert answer["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
        assert answer["grpc-message"] == "nothing was read for 0.1 s"
        server.close()
        await server.wait_closed()

    async def test_a_client_that_leaves(self, client: RawClient, service: Echo) -> None:
        """Whoever waits apart from the handler learns of it at once."""
        waiting: list[asyncio.Task[None]] = []

        async def handler(stream: ServerStream) -> None:
            await stream.send_framed(frame(b"x" * 60_000))
            waiting.append(asyncio.create_task(stream.room_for(10_000)))
            started.set()
            await asyncio.Event().wait()

        started = asyncio.Event()
        service.handler = handler
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await started.wait()
        client.h2.reset_stream(1, ErrorCodes.CANCEL)
        client.flush()
        with pytest.raises(CancelledCallError, match="the client has left the call"):
            await asyncio.wait_for(waiting[0], 10)


class TestLimit:
    async def test_of_one_call(self, channel: Channel, service: Echo) -> None:
        """Messages over it end that call, after those before them; other calls take more."""
        seen: list[int] = []

        async def handler(stream: ServerStream) -> None:
            stream.limit_messages(20)
            async for message in stream:
                seen.append(len(message.service))

        service.handler = handler
        with pytest.raises(StatusError) as caught:
            async with channel.request(*RUN) as stream:
                for size in (10, 18, 19, 5):
                    await stream.send_message(Ask(service="x" * size))
                await stream.recv_message()
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert caught.value.message == "the message has 21 bytes; at most 20 are allowed"
        assert seen == [10, 18]
        echo = channel.request("/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer)
        async with echo as stream:
            await stream.send_message(Ask(service="x" * 1000), end=True)
            assert [message.name async for message in stream] == ["x" * 1000]


class TestAbortion:
    """A handler that is ended by somebody else."""

    ERROR = StatusError(Status.ABORTED, "enough", metadata={"retry": "no"})

    async def test_while_it_waits(self, channel: Channel, service: Echo) -> None:
        """What it waits for is cancelled, once, and the call ends with the error."""
        felt: list[str] = []

        async def handler(stream: ServerStream) -> None:
            asyncio.get_running_loop().call_soon(stream.abort, self.ERROR)
            asyncio.get_running_loop().call_soon(stream.abort, self.ERROR)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                felt.append("cancelled")
                await asyncio.sleep(0)
                felt.append("cleaned up")
                raise

        service.handler = handler
        caught = await failure(channel)
        assert (caught.status, caught.message) == (Status.ABORTED, "enough")
        assert caught.metadata == {"retry": "no"}
        assert felt == ["cancelled", "cleaned up"]

    async def test_by_itself(self, channel: Channel, service: Echo) -> None:
        """One that aborts its own call goes on to its end, and the call ends with the error."""

        async def handler(stream: ServerStream) -> None:
            stream.abort(self.ERROR)
            await asyncio.sleep(0)

        service.handler = handler
        assert (await failure(channel)).message == "enough"

    async def test_once_it_has_ended(self, channel: Channel, service: Echo) -> None:
        """Then there is nothing to be ended any more."""
        streams: list[ServerStream] = []

        async def handler(stream: ServerStream) -> None:
            streams.append(stream)

        service.handler = handler
        async with channel.request(*RUN) as stream:
            await stream.send_request(end=True)
            assert await stream.recv_message() is None
            streams[0].abort(self.ERROR)
            await stream.recv_trailing_metadata()


def update(stream_id: int, increment: int) -> bytes:
    return http2_frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def headers(stream_id: int) -> bytes:
    fields = [(name, value, True) for name, value in request_headers("/test.Echo/Run")]
    return http2_frame(HEADERS, END_HEADERS, stream_id, Encoder().encode(fields))

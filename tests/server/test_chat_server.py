"""Tests of server/chat_server.py, chat_service.py and session.py, over real connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from h2.events import TrailersReceived

from chatify_stream import (
    Channel,
    ChatClient,
    ChatReq,
    ChatRsp,
    ChatServer,
    DeadlineExceededError,
    ListenError,
    Session,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.messages.grpc.health.v1 import (
    HealthBase,
    HealthCheckRequest,
    HealthCheckResponse,
)
from chatify_stream.server import CHAT_PATHS
from chatify_stream.wire import Cardinality

from ..wire.raw import framed, raw_client, request_headers


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[ChatServer]:
    async with ChatServer(**options) as server:  # type: ignore[arg-type]
        await server.start("127.0.0.1", 0)
        yield server


def client(server: ChatServer, **options: object) -> ChatClient:
    return ChatClient(f"127.0.0.1:{server.port}", **options)  # type: ignore[arg-type]


async def answers(server: ChatServer, *texts: str) -> list[str]:
    async with client(server) as chat:
        for text in texts:
            await chat.send(text)
        await chat.half_close()
        return [reply.message async for reply in chat]


class TestReplies:
    async def test_the_default(self) -> None:
        """Without anything said, the answer is Hello and the name."""
        async with serving() as server:
            assert await answers(server, "gene", "世界", "🎉", "") == [
                "Hello gene",
                "Hello 世界",
                "Hello 🎉",
                "Hello ",
            ]

    async def test_a_plain_function(self) -> None:
        """A plain function makes the answers."""
        async with serving(reply=str.upper) as server:
            assert await answers(server, "a", "b") == ["A", "B"]

    async def test_an_async_function(self) -> None:
        """An async function makes the answers, in order, however long each takes."""
        first = asyncio.Event()

        async def reply(name: str) -> str:
            if name == "slow":
                await first.wait()
            return name

        async with serving(reply=reply) as server, client(server) as chat:
            await chat.send("slow")
            await chat.send("fast")
            assert await answers(server, "other") == ["other"]
            first.set()
            await chat.half_close()
            assert [reply.message async for reply in chat] == ["slow", "fast"]

    @pytest.mark.parametrize("value", [None, 5, b"bytes", ChatRsp(message="x")])
    async def test_a_reply_that_is_no_text(
        self, value: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A reply of another type is INTERNAL, and the log says what it has to be."""
        async with serving(reply=lambda name: value) as server:
            with pytest.raises(StatusError) as caught:
                await answers(server, "a")
        assert caught.value.status is Status.INTERNAL
        assert "has to return a str" in caplog.text

    async def test_text_that_is_not_unicode(self, caplog: pytest.LogCaptureFixture) -> None:
        """A reply that UTF-8 cannot carry is INTERNAL, and the log says why."""
        async with serving(reply=lambda name: "\udcff") as server:
            with pytest.raises(StatusError) as caught:
                await answers(server, "a")
        assert caught.value.status is Status.INTERNAL
        assert "not valid Unicode" in caplog.text

    async def test_a_reply_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        """A reply that raises ends its stream INTERNAL; the text is logged, not sent."""

        def reply(name: str) -> str:
            if name == "bad":
                raise ValueError("the password is 1234")
            return name

        async with serving(reply=reply) as server, client(server) as bystander:
            await bystander.send("before")
            with pytest.raises(StatusError) as caught:
                await answers(server, "good", "bad")
            await bystander.send("after")
            await bystander.half_close()
            assert [reply.message async for reply in bystander] == ["before", "after"]
        assert caught.value.status is Status.INTERNAL
        assert "1234" not in str(caught.value)
        assert "the password is 1234" in caplog.text

    async def test_a_status_of_the_reply(self) -> None:
        """A reply may end the call with a status of its own; what was answered stays."""

        def reply(name: str) -> str:
            if name == "bad":
                raise StatusError(Status.INVALID_ARGUMENT, "名字不好", metadata={"hint": "good"})
            return name

        async with serving(reply=reply) as server, client(server) as chat:
            await chat.send("good")
            await chat.send("bad")
            replies = []
            with pytest.raises(StatusError) as caught:
                async for each in chat:
                    replies.append(each.message)
        assert replies == ["good"]
        assert (caught.value.status, caught.value.message) == (Status.INVALID_ARGUMENT, "名字不好")
        assert caught.value.metadata == {"hint": "good"}

    async def test_requests_before_one_that_cannot_be_read(self) -> None:
        """What came before a message that is not protobuf is answered, though it came with it."""
        async with serving() as server, raw_client(server.port) as peer:
            peer.h2.send_headers(1, request_headers(CHAT_PATHS[0]))
            good, bad = bytes(ChatReq(name="Ada")), b"\x0a\x09short"
            peer.h2.send_data(1, framed(good) + framed(good) + framed(bad), end_stream=True)
            peer.flush()
            trailers = dict((await peer.wait_for(TrailersReceived, 1)).headers)
            answer = framed(bytes(ChatRsp(message="Hello Ada")))
            assert peer.data_of(1) == answer + answer
            assert trailers["grpc-status"] == str(Status.INTERNAL.value)
            assert "not a valid ChatReq" in trailers["grpc-message"]


class TestSessions:
    async def test_everything_a_session_has(self) -> None:
        """A handler sees metadata, peer, deadline and client, and sends headers and trailers."""
        seen: dict[str, object] = {}

        async def handler(session: Session) -> None:
            await session.send_initial_metadata({"served-by": "test"})
            seen["metadata"] = dict(session.metadata)
            seen["peer"] = session.peer
            seen["user_agent"] = session.user_agent
            assert session.deadline is not None
            seen["remaining"] = session.deadline.time_remaining()
            request = await session.receive()
            assert request is not None
            await session.send(request.name * 2)
            await session.send(ChatRsp(message="rsp"))
            assert await session.receive() is None
            session.trailers["total"] = "2"
            session.trailers["raw-bin"] = b"\x00"

        async with serving(handler=handler) as server:
            metadata = {"room": "lobby", "user-bin": "世界".encode()}
            async with client(server, metadata=metadata, timeout=30) as chat:
                await chat.send("ab")
                assert (await chat.close_and_recv()) == ChatRsp(message="rsp")
                assert chat.initial_metadata is not None
                assert chat.initial_metadata["served-by"] == "test"
                assert chat.trailing_metadata is not None
                assert dict(chat.trailing_metadata) == {"total": "2", "raw-bin": b"\x00"}
        assert seen["metadata"] == metadata
        assert seen["peer"].host == "127.0.0.1"  # type: ignore[attr-defined]
        assert str(seen["peer"]).startswith("127.0.0.1:")
        assert "grpclib" in str(seen["user_agent"])
        assert 0 < seen["remaining"] <= 30  # type: ignore[operator]

    async def test_no_deadline(self) -> None:
        """A client that set no deadline gives none."""
        deadlines = []

        async def handler(session: Session) -> None:
            deadlines.append(session.deadline)

        async with serving(handler=handler) as server:
            assert await answers(server) == []
        assert deadlines == [None]

    async def test_many_replies_and_none(self) -> None:
        """A handler decides how many replies there are."""

        async def handler(session: Session) -> None:
            async for request in session:
                for character in request.name:
                    await session.send(character)

        async with serving(handler=handler) as server:
            assert await answers(server, "abc", "", "d") == ["a", "b", "c", "d"]

    async def test_sending_from_several_tasks(self) -> None:
        """Several tasks of a handler may send at once: every reply arrives whole."""

        async def handler(session: Session) -> None:
            await asyncio.gather(*(session.send(letter * 500_000) for letter in "abcdef"))

        async with serving(handler=handler) as server:
            replies = await answers(server)
        assert sorted(replies) == [letter * 500_000 for letter in "abcdef"]

    @pytest.mark.parametrize("reply", [None, 5, b"a", ChatReq(name="a")])
    async def test_what_cannot_be_sent(
        self, reply: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Sending what is no reply is the handler's mistake, and the log says what is right."""

        async def handler(session: Session) -> None:
            await session.send(reply)  # type: ignore[arg-type]

        async with serving(handler=handler) as server:
            with pytest.raises(StatusError) as caught:
                await answers(server)
        assert caught.value.status is Status.INTERNAL
        assert "a reply is a str or a ChatRsp" in caplog.text

    async def test_a_client_that_leaves(self) -> None:
        """A client that leaves in the middle has its handler cancelled, and nothing is logged."""
        cancelled = asyncio.Event()
        started = asyncio.Event()

        async def handler(session: Session) -> None:
            started.set()
            try:
                await session.receive()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with serving(handler=handler) as server:
            async with client(server) as chat:
                await started.wait()
                await chat.cancel()
            await asyncio.wait_for(cancelled.wait(), 10)

    async def test_a_client_that_leaves_while_it_is_sent_to(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A handler that sends to a client that has left is ended, without an error in the log."""
        ended = asyncio.Event()

        async def handler(session: Session) -> None:
            try:
                while True:
                    await session.send("x" * 1000)
            finally:
                ended.set()

        with caplog.at_level(logging.INFO):
            async with serving(handler=handler) as server:
                async with client(server) as chat:
                    assert await chat.receive() is not None
                    await chat.cancel()
                await asyncio.wait_for(ended.wait(), 10)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    async def test_a_deadline(self) -> None:
        """A handler is cancelled when the client's deadline passes."""
        cancelled = asyncio.Event()

        async def handler(session: Session) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with serving(handler=handler) as server:
            with pytest.raises(DeadlineExceededError):
                async with client(server, timeout=0.2) as chat:
                    await chat.receive()
            await asyncio.wait_for(cancelled.wait(), 10)


class TestPaths:
    @pytest.mark.parametrize("path", [*CHAT_PATHS, "/my.Chat/Talk"])
    async def test_paths(self, path: str) -> None:
        """Chat is served under its names, and under those that are added."""
        async with serving(paths=["/my.Chat/Talk"]) as server:
            async with (
                Channel("127.0.0.1", server.port) as channel,
                channel.request(path, Cardinality.STREAM_STREAM, ChatReq, ChatRsp) as stream,
            ):
                await stream.send_message(ChatReq(name="Ada"), end=True)
                assert [reply.message async for reply in stream] == ["Hello Ada"]

    async def test_a_unary_caller(self) -> None:
        """A unary call to the same path gets its one answer."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            async with channel.request(
                CHAT_PATHS[0], Cardinality.UNARY_UNARY, ChatReq, ChatRsp
            ) as stream:
                await stream.send_message(ChatReq(name="Ada"))
                assert await stream.recv_message() == ChatRsp(message="Hello Ada")

    async def test_unknown_methods(self) -> None:
        """A method that is not served is UNIMPLEMENTED, and the text names it."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(StatusError) as caught:
                async with channel.request(
                    "/service.v1.Service/Shout", Cardinality.STREAM_STREAM, ChatReq, ChatRsp
                ) as stream:
                    await stream.send_message(ChatReq(name="Ada"), end=True)
                    await stream.recv_message()
        assert caught.value.status is Status.UNIMPLEMENTED
        assert "/service.v1.Service/Shout" in str(caught.value)


class Ours(HealthBase):
    """A betterproto2 service; only its name is not that of the health service."""

    async def check(self, message: HealthCheckRequest) -> HealthCheckResponse:
        return HealthCheckResponse()

    def __mapping__(self):  # type: ignore[no-untyped-def]
        mapping = super().__mapping__()
        return {path.replace("grpc.health.v1", "our.v1"): each for path, each in mapping.items()}


class TestAssembly:
    async def test_another_service(self) -> None:
        """A betterproto2 service is served beside Chat."""
        async with serving(services=[Ours()]) as server:
            async with Channel("127.0.0.1", server.port) as channel:
                async with channel.request(
                    "/our.v1.Health/Check",
                    Cardinality.UNARY_UNARY,
                    HealthCheckRequest,
                    HealthCheckResponse,
                ) as stream:
                    await stream.send_message(HealthCheckRequest())
                    assert await stream.recv_message() == HealthCheckResponse()

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"reply": str, "handler": print}, "not both"),
            ({"reply": "Hello"}, "reply= is a function"),
            ({"handler": 5}, "handler= is a function"),
            ({"services": [object()]}, "is not a grpclib or betterproto2 service"),
            ({"services": [Ours(), Ours()]}, "/our.v1.Health/Check is served already"),
            ({"paths": ["Chat"]}, "write /Service/Method"),
        ],
    )
    def test_wrong_use(self, options: dict[str, object], text: str) -> None:
        """What cannot be served is refused when the server is made, and the text says why."""
        with pytest.raises(UsageError, match=text):
            ChatServer(**options)  # type: ignore[arg-type]

    async def test_wrong_order(self) -> None:
        """What cannot be done yet, or any more, says so."""
        server = ChatServer()
        with pytest.raises(UsageError, match="was not started"):
            _ = server.port
        with pytest.raises(UsageError, match="was not started"):
            await server.wait_closed()
        assert server.open_calls == 0
        await server.close()
        await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="started already"):
            await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="before start"):
            server.add_service(Ours())
        await server.close()
        await server.close(5)

    async def test_broken_descriptor_sets(self) -> None:
        """What is not a descriptor set is refused at the start."""
        server = ChatServer(reflection=True, descriptor_sets=[b"\x0a"])
        with pytest.raises(UsageError, match="FileDescriptorSet"):
            await server.start("127.0.0.1", 0)

    async def test_a_port_in_use(self) -> None:
        """A server that could not listen may be started again, elsewhere."""
        async with serving() as first:
            second = ChatServer()
            with pytest.raises(ListenError, match="in use"):
                await second.start("127.0.0.1", first.port)
            await second.start("127.0.0.1", 0)
            assert await answers(second, "Ada") == ["Hello Ada"]
            await second.close()

    async def test_made_outside_of_a_loop(self) -> None:
        """A server can be made before there is an event loop."""
        server = await asyncio.to_thread(ChatServer)
        await server.start("127.0.0.1", 0)
        assert await answers(server, "Ada") == ["Hello Ada"]
        await server.close()

    async def test_wait_closed(self) -> None:
        """Who waits for the server to close wakes when it has."""
        async with serving() as server:
            waiting = asyncio.create_task(server.wait_closed())
            await asyncio.sleep(0)
            assert not waiting.done()
            await server.close()
            await asyncio.wait_for(waiting, 10)


CloseInTheMiddle = Callable[[ChatServer], Awaitable[None]]


class TestStopping:
    async def test_with_grace(self) -> None:
        """An open stream is answered to its end while the server closes."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            assert await chat.receive() == ChatRsp(message="Hello before")
            closing = asyncio.create_task(server.close(60))
            await asyncio.sleep(0)
            await chat.send("after")
            assert await chat.close_and_recv() == ChatRsp(message="Hello after")
            await asyncio.wait_for(closing, 10)

    async def test_without_grace(self) -> None:
        """Without grace an open stream is UNAVAILABLE at once."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            await chat.receive()
            await server.close()
            with pytest.raises(UnavailableError, match="shutting down"):
                await chat.receive()

    async def test_a_shorter_grace(self) -> None:
        """A second close, with less grace, ends the wait of the first."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            await chat.receive()
            closing = asyncio.create_task(server.close(3600))
            await asyncio.sleep(0)
            await server.close()
            await asyncio.wait_for(closing, 10)
            with pytest.raises(UnavailableError):
                await chat.receive()

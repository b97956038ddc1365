"""Tests of client/chat_client.py against our server; tests/e2e has other servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatify_stream import (
    Backoff,
    CancelledCallError,
    Channel,
    ChannelState,
    ChatClient,
    ChatifyError,
    ChatRsp,
    ChatServer,
    ClosedError,
    DeadlineExceededError,
    RoomClient,
    Session,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.server import Handler

from ..wire.peers import refusing


@asynccontextmanager
async def handled_by(handler: Handler, **options: object) -> AsyncIterator[ChatClient]:
    """Enter a client of a server with this handler."""
    async with ChatServer(handler=handler) as server:
        await server.start("127.0.0.1", 0)
        async with ChatClient(f"127.0.0.1:{server.port}", **options) as chat:
            yield chat


def hello(name: str) -> ChatRsp:
    return ChatRsp(message=f"Hello {name}")


class TestArguments:
    def test_types(self) -> None:
        """The two clients are separate classes."""
        assert type(ChatClient("localhost:9000", timeout=1.0)) is ChatClient
        assert type(RoomClient(["a:1", "b:2"], room="lobby", user="ada")) is RoomClient
        assert not isinstance(RoomClient(room="lobby"), ChatClient)

    @pytest.mark.parametrize("room", ["lobby", "", None])
    def test_room(self, room: str | None) -> None:
        """A room is a TypeError that names RoomClient."""
        with pytest.raises(TypeError, match="'room'; use RoomClient to join a room") as caught:
            ChatClient(room=room)
        assert not isinstance(caught.value, ChatifyError)

    def test_argument_of_the_other_client(self) -> None:
        """An argument that only the other client has is a TypeError."""
        with pytest.raises(TypeError, match="'user'"):
            ChatClient(user="ada")
        with pytest.raises(TypeError, match="compression"):
            RoomClient(room="lobby", compression="gzip")

    def test_room_that_is_none(self) -> None:
        """A room that is None is rejected."""
        with pytest.raises(UsageError, match="the room must be a str, not None"):
            RoomClient(room=None)

    def test_subclass(self) -> None:
        """A client can have subclasses."""

        class MyChat(RoomClient):
            pass

        assert type(MyChat(room="lobby")) is MyChat


class TestTalking:
    async def test_the_original_client(self, target: str) -> None:
        """Five messages, half-close, last reply: the example client of the original."""
        async with ChatClient(target) as chat:
            for number in range(5):
                await chat.send(f"Message {number}")
            assert await chat.close_and_recv() == hello("Message 4")

    async def test_ping_pong(self, target: str) -> None:
        """Each message can be answered before the next is sent."""
        async with ChatClient(target) as chat:
            for name in ("Ada", "世界", "🎉", "", "x" * 1_000_000):
                await chat.send(name)
                assert await chat.receive() == hello(name)
            await chat.half_close()
            assert await chat.receive() is None
            assert await chat.receive() is None

    async def test_iterating_while_sending(self, target: str) -> None:
        """One task sends while another receives 10,000 replies in order."""
        count = 10_000
        async with ChatClient(target) as chat:

            async def send() -> None:
                for number in range(count):
                    await chat.send(str(number))
                await chat.half_close()

            sending = asyncio.create_task(send())
            replies = [reply.message async for reply in chat]
            await sending
        assert replies == [f"Hello {number}" for number in range(count)]

    async def test_last_reply_received_before(self, target: str) -> None:
        """close_and_recv returns the last reply, even if it was received before."""
        async with ChatClient(target) as chat:
            await chat.send("Ada")
            await chat.receive()
            assert await chat.close_and_recv() == hello("Ada")
            assert await chat.close_and_recv() == hello("Ada")

    async def test_no_reply_at_all(self, target: str) -> None:
        """close_and_recv of a call without replies returns None."""
        async with ChatClient(target) as chat:
            assert await chat.close_and_recv() is None

    async def test_sending_from_several_tasks(self, target: str) -> None:
        """Large messages that several tasks send at once stay intact."""
        names = [letter * 300_000 for letter in "abcdef"]
        async with ChatClient(target) as chat:
            await asyncio.gather(*(chat.send(name) for name in names))
            await chat.half_close()
            replies = [reply.message async for reply in chat]
        assert sorted(replies) == [f"Hello {name}" for name in names]

    async def test_a_shared_channel(self, server: ChatServer) -> None:
        """Clients share a channel, and do not close it."""
        async with Channel("127.0.0.1", server.port) as channel:
            for name in ("Ada", "Grace"):
                async with ChatClient(channel) as chat:
                    await chat.send(name)
                    assert await chat.receive() == hello(name)
            assert not channel.is_closed

    async def test_several_servers(self, server: ChatServer) -> None:
        """The first working target is used, from a list and from a text."""
        with refusing() as dead:
            live = f"127.0.0.1:{server.port}"
            for target in (
                [dead, live],
                f"{dead}, {live}",
                (dead, f"dns:///localhost:{server.port}"),
            ):
                async with ChatClient(target) as chat:
                    await chat.send("Ada")
                    assert await chat.receive() == hello("Ada")

    async def test_waiting_for_the_server(self) -> None:
        """With wait_for_ready, entering waits until the server listens."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            backoff = Backoff(0.001, maximum=0.01)
            async with Channel("127.0.0.1", port, backoff=backoff) as channel:
                chat = ChatClient(channel, wait_for_ready=True)
                entering = asyncio.create_task(chat.__aenter__())
                while channel.state is not ChannelState.TRANSIENT_FAILURE:
                    await asyncio.sleep(0)
                taken.close()
                async with ChatServer() as server, asyncio.timeout(10):
                    await server.start("127.0.0.1", port)
                    await entering
                    await chat.send("Ada")
                    assert await chat.close_and_recv() == hello("Ada")
                    await chat.__aexit__(None, None, None)

    async def test_metadata(self) -> None:
        """Metadata is sent with the call, and received with the headers and the trailers."""

        async def handler(session: Session) -> None:
            await session.send_initial_metadata({"a": str(session.metadata["a"])})
            session.trailers["b-bin"] = session.metadata["b-bin"]

        async with handled_by(handler, metadata={"a": "1", "b-bin": b"\xff"}) as chat:
            assert chat.initial_metadata is None
            assert chat.trailing_metadata is None
            assert await chat.receive() is None
            assert dict(chat.initial_metadata or {}) == {"a": "1"}
            assert dict(chat.trailing_metadata or {}) == {"b-bin": b"\xff"}


class TestErrors:
    async def test_status_of_the_server(self) -> None:
        """A status other than OK is raised with its text and metadata, every time."""

        async def handler(session: Session) -> None:
            await session.send("one")
            raise StatusError(Status.ABORTED, "没了", metadata={"retry": "no"})

        async with handled_by(handler) as chat:
            assert await chat.receive() == ChatRsp(message="one")
            for _ in range(2):
                with pytest.raises(StatusError) as caught:
                    await chat.receive()
                assert (caught.value.status, caught.value.message) == (Status.ABORTED, "没了")
                assert caught.value.metadata == {"retry": "no"}

    async def test_status_that_nobody_received(self) -> None:
        """Leaving raises a status other than OK that no method has raised."""

        async def handler(session: Session) -> None:
            raise StatusError(Status.ABORTED, "gone")

        with pytest.raises(StatusError, match="gone"):
            async with handled_by(handler) as chat:
                await asyncio.sleep(0)
                assert chat is not None

    async def test_unreachable(self) -> None:
        """Entering raises UNAVAILABLE if the server cannot be reached."""
        with pytest.raises(UnavailableError, match=r"cannot connect to 127\.0\.0\.1:1: "):
            async with ChatClient("127.0.0.1:1"):
                raise AssertionError("entered")

    @pytest.mark.parametrize("target", ["", [], ["a:1", 2], 9000, "a:1,b:0"])
    async def test_invalid_target(self, target: object) -> None:
        """An invalid target is rejected when the client is created."""
        with pytest.raises(UsageError):
            ChatClient(target)

    async def test_deadline_while_waiting(self) -> None:
        """With wait_for_ready, the deadline ends the wait and the error has the reason."""
        with refusing() as dead:
            with pytest.raises(DeadlineExceededError, match=f"cannot connect to {dead}: "):
                async with ChatClient(dead, wait_for_ready=True, timeout=0.05):
                    raise AssertionError("entered")

    async def test_the_deadline(self) -> None:
        """A call that exceeds its timeout raises DEADLINE_EXCEEDED."""

        async def handler(session: Session) -> None:
            await session.receive()

        async with handled_by(handler, timeout=0.2) as chat:
            with pytest.raises(DeadlineExceededError):
                await chat.receive()

    async def test_server_stops(self, server: ChatServer, target: str) -> None:
        """A server that stops during a call raises UNAVAILABLE."""
        async with ChatClient(target) as chat:
            await chat.send("Ada")
            await chat.receive()
            await server.close()
            with pytest.raises(UnavailableError):
                await chat.receive()

    @pytest.mark.parametrize("text", [None, 5, b"bytes"])
    async def test_message_that_is_not_a_str(self, target: str, text: object) -> None:
        """A message that is not a str is rejected, and the call continues."""
        async with ChatClient(target) as chat:
            with pytest.raises(UsageError, match="a message must be a str"):
                await chat.send(text)
            await chat.send("Ada")
            assert await chat.receive() == hello("Ada")

    async def test_text_that_is_not_unicode(self, target: str) -> None:
        """A text that UTF-8 cannot encode is rejected, and the call continues."""
        async with ChatClient(target) as chat:
            with pytest.raises(UsageError, match="not valid Unicode"):
                await chat.send("\udcff")
            await chat.send("Ada")
            assert await chat.receive() == hello("Ada")

    @pytest.mark.parametrize("target", ["", "localhost:x", "http://localhost:9000", "a b:1"])
    def test_bad_targets(self, target: str) -> None:
        """A target that is not an address is rejected, and the error shows the format."""
        with pytest.raises(UsageError, match="HOST:PORT"):
            ChatClient(target)

    def test_an_unknown_compression(self) -> None:
        """An unknown compression is rejected, and the error lists the known ones."""
        with pytest.raises(UsageError, match="identity, deflate, gzip"):
            ChatClient(compression="zip")


class TestLife:
    async def test_outside_of_async_with(self) -> None:
        """A client that was not entered raises an error that says what to do."""
        chat = ChatClient("127.0.0.1:1")
        with pytest.raises(UsageError, match="async with"):
            await chat.send("Ada")
        with pytest.raises(UsageError, match="async with"):
            await chat.receive()

    async def test_sending_on_a_call_that_has_failed(self) -> None:
        """After a failed send, earlier replies can be received, and then the error is raised."""

        async def handler(session: Session) -> None:
            for number in range(3):
                await session.send(str(number))
            raise StatusError(Status.RESOURCE_EXHAUSTED, "enough")

        async with handled_by(handler) as chat:
            async with asyncio.timeout(30):
                with pytest.raises(StatusError, match="enough"):
                    while True:
                        await chat.send("")
                        await asyncio.sleep(0)
                assert [await chat.receive() for _ in range(3)] == [
                    ChatRsp(message=str(number)) for number in range(3)
                ]
                with pytest.raises(StatusError, match="enough"):
                    await chat.receive()

    async def test_after_leaving(self, target: str) -> None:
        """After leaving, the client is closed and cannot be entered again."""
        async with ChatClient(target) as chat:
            pass
        with pytest.raises(ClosedError):
            await chat.send("Ada")
        with pytest.raises(UsageError, match="can be entered once"):
            await chat.__aenter__()

    async def test_sending_after_half_close(self, target: str) -> None:
        """After half_close, send raises; half_close can be called again."""
        async with ChatClient(target) as chat:
            await chat.half_close()
            await chat.half_close()
            with pytest.raises(ClosedError, match="half_close"):
                await chat.send("Ada")

    async def test_two_readers(self, target: str) -> None:
        """A second task that receives at the same time raises UsageError."""
        async with ChatClient(target) as chat:
            first = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="another task"):
                await chat.receive()
            await chat.send("Ada")
            assert await first == hello("Ada")

    async def test_a_cancelled_receive(self, target: str) -> None:
        """Cancelling receive loses no reply."""
        replies = []
        async with ChatClient(target) as chat:
            for number in range(200):
                await chat.send(str(number))
            await chat.half_close()
            while True:
                reading = asyncio.create_task(chat.receive())
                await asyncio.sleep(0)
                reading.cancel()
                try:
                    reply = await reading
                except asyncio.CancelledError:
                    continue
                if reply is None:
                    break
                replies.append(reply.message)
        assert replies == [f"Hello {number}" for number in range(200)]

    async def test_leaving_early(self) -> None:
        """Leaving half-closes and waits until the server has handled everything."""
        handled = []

        async def handler(session: Session) -> None:
            async for request in session:
                handled.append(request.name)
                await session.send("ok")

        async with handled_by(handler) as chat:
            for number in range(100):
                await chat.send(str(number))
        assert handled == [str(number) for number in range(100)]

    async def test_leaving_a_server_that_goes_on(self) -> None:
        """Leaving cancels a call that the server does not end within close_timeout."""
        cancelled = asyncio.Event()

        async def handler(session: Session) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with handled_by(handler, close_timeout=0.1) as chat:
            await chat.send("Ada")
        await asyncio.wait_for(cancelled.wait(), 10)

    async def test_an_exception_cancels(self, server: ChatServer, target: str) -> None:
        """An exception in the block cancels the call and is raised."""
        with pytest.raises(KeyError):
            async with ChatClient(target) as chat:
                await chat.send("Ada")
                await chat.receive()
                raise KeyError
        while server.open_calls:
            await asyncio.sleep(0)

    async def test_cancel(self, server: ChatServer, target: str) -> None:
        """`cancel` ends the call on both sides, and a waiting receive raises."""
        async with ChatClient(target) as chat:
            reading = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            await chat.cancel()
            await chat.cancel()
            with pytest.raises(CancelledCallError):
                await reading
        while server.open_calls:
            await asyncio.sleep(0)

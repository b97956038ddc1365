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
    """A client of a server with this handler."""
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
        """Five messages, half-close, the last reply: what the original's example wanted."""
        async with ChatClient(target) as chat:
            for number in range(5):
                await chat.send(f"Message {number}")
            assert await chat.close_and_recv() == hello("Message 4")

    async def test_ping_pong(self, target: str) -> None:
        """Each message is answered before the next is sent."""
        async with ChatClient(target) as chat:
            for name in ("Ada", "世界", "🎉", "", "x" * 1_000_000):
                await chat.send(name)
                assert await chat.receive() == hello(name)
            await chat.half_close()
            assert await chat.receive() is None
            assert await chat.receive() is None

    async def test_iterating_while_sending(self, target: str) -> None:
        """One task sends while another reads: ten thousand messages, in order."""
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

    async def test_the_last_reply_was_read(self, target: str) -> None:
        """close_and_recv gives the last reply of the call, also when it was read before."""
        async with ChatClient(target) as chat:
            await chat.send("Ada")
            await chat.receive()
            assert await chat.close_and_recv() == hello("Ada")
            assert await chat.close_and_recv() == hello("Ada")

    async def test_no_reply_at_all(self, target: str) -> None:
        """close_and_recv of a call without replies gives None."""
        async with ChatClient(target) as chat:
            assert await chat.close_and_recv() is None

    async def test_sending_from_several_tasks(self, target: str) -> None:
        """Large messages sent at once arrive whole."""
        names = [letter * 300_000 for letter in "abcdef"]
        async with ChatClient(target) as chat:
            await asyncio.gather(*(chat.send(name) for name in names))
            await chat.half_close()
            replies = [reply.message async for reply in chat]
        assert sorted(replies) == [f"Hello {name}" for name in names]

    async def test_a_shared_channel(self, server: ChatServer) -> None:
        """Clients of one channel share its connection, and leave it open."""
        async with Channel("127.0.0.1", server.port) as channel:
            for name in ("Ada", "Grace"):
                async with ChatClient(channel) as chat:
                    await chat.send(name)
                    assert await chat.receive() == hello(name)
            assert not channel.is_closed

    async def test_several_servers(self, server: ChatServer) -> None:
        """Of several targets the first that works is taken; a text may have them, too."""
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
        """A client that waits for ready begins when the server comes."""
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
        """Metadata goes with the call; the server's comes with its headers and its status."""

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
    async def test_a_status_of_the_server(self) -> None:
        """A status other than OK is raised with its text; who reads on gets it again."""

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

    async def test_a_status_nobody_read(self) -> None:
        """A status other than OK that no method has told is raised on leaving."""

        async def handler(session: Session) -> None:
            raise StatusError(Status.ABORTED, "gone")

        with pytest.raises(StatusError, match="gone"):
            async with handled_by(handler) as chat:
                await asyncio.sleep(0)
                assert chat is not None

    async def test_nobody_there(self) -> None:
        """A server that is not there is UNAVAILABLE, on entering."""
        with pytest.raises(UnavailableError, match=r"cannot connect to 127\.0\.0\.1:1: "):
            async with ChatClient("127.0.0.1:1"):
                raise AssertionError("entered")

    @pytest.mark.parametrize("target", ["", [], ["a:1", 2], 9000, "a:1,b:0"])
    async def test_no_target(self, target: object) -> None:
        """What is no address, nor several, is refused when the client is made."""
        with pytest.raises(UsageError):
            ChatClient(target)

    async def test_waiting_in_vain(self) -> None:
        """A client that waits for ready gets its deadline, and what it was waiting for."""
        with refusing() as dead:
            with pytest.raises(DeadlineExceededError, match=f"cannot connect to {dead}: "):
                async with ChatClient(dead, wait_for_ready=True, timeout=0.05):
                    raise AssertionError("entered")

    async def test_the_deadline(self) -> None:
        """A call that takes longer than its timeout ends with the deadline."""

        async def handler(session: Session) -> None:
            await session.receive()

        async with handled_by(handler, timeout=0.2) as chat:
            with pytest.raises(DeadlineExceededError):
                await chat.receive()

    async def test_the_server_goes(self, server: ChatServer, target: str) -> None:
        """A server that stops in the middle of a call is UNAVAILABLE."""
        async with ChatClient(target) as chat:
            await chat.send("Ada")
            await chat.receive()
            await server.close()
            with pytest.raises(UnavailableError):
                await chat.receive()

    @pytest.mark.parametrize("text", [None, 5, b"bytes"])
    async def test_what_is_no_text(self, target: str, text: object) -> None:
        """A message is a str, and the call goes on."""
        async with ChatClient(target) as chat:
            with pytest.raises(UsageError, match="a message must be a str"):
                await chat.send(text)
            await chat.send("Ada")
            assert await chat.receive() == hello("Ada")

    async def test_text_that_is_not_unicode(self, target: str) -> None:
        """Text that UTF-8 cannot carry is refused, and the call goes on."""
        async with ChatClient(target) as chat:
            with pytest.raises(UsageError, match="not valid Unicode"):
                await chat.send("\udcff")
            await chat.send("Ada")
            assert await chat.receive() == hello("Ada")

    @pytest.mark.parametrize("target", ["", "localhost:x", "http://localhost:9000", "a b:1"])
    def test_bad_targets(self, target: str) -> None:
        """A target that is no address is refused at once, and the text says what is right."""
        with pytest.raises(UsageError, match="HOST:PORT"):
            ChatClient(target)

    def test_an_unknown_compression(self) -> None:
        """A compression that is not known is refused at once, and the text has those that are."""
        with pytest.raises(UsageError, match="identity, deflate, gzip"):
            ChatClient(compression="zip")


class TestLife:
    async def test_outside_of_async_with(self) -> None:
        """A client that was not entered says what to do."""
        chat = ChatClient("127.0.0.1:1")
        with pytest.raises(UsageError, match="async with"):
            await chat.send("Ada")
        with pytest.raises(UsageError, match="async with"):
            await chat.receive()

    async def test_sending_on_a_call_that_has_failed(self) -> None:
        """A send that fails takes no reply away that came before; then comes why it failed."""

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
        """A client that was left can do nothing more, and cannot be entered again."""
        async with ChatClient(target) as chat:
            pass
        with pytest.raises(ClosedError):
            await chat.send("Ada")
        with pytest.raises(UsageError, match="can be entered once"):
            await chat.__aenter__()

    async def test_sending_after_half_close(self, target: str) -> None:
        """After half_close nothing can be sent; half-closing again does no harm."""
        async with ChatClient(target) as chat:
            await chat.half_close()
            await chat.half_close()
            with pytest.raises(ClosedError, match="half_close"):
                await chat.send("Ada")

    async def test_two_readers(self, target: str) -> None:
        """Two tasks cannot wait for replies at once: the second is told."""
        async with ChatClient(target) as chat:
            first = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="another task"):
                await chat.receive()
            await chat.send("Ada")
            assert await first == hello("Ada")

    async def test_a_cancelled_receive(self, target: str) -> None:
        """A receive that is cancelled, again and again, loses no reply."""
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
        """Leaving half-closes and waits: everything that was sent is handled."""
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
        """A server that does not end the call is given close_timeout, then cancelled."""
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
        """Leaving with an exception cancels the call, and the exception goes on."""
        with pytest.raises(KeyError):
            async with ChatClient(target) as chat:
                await chat.send("Ada")
                await chat.receive()
                raise KeyError
        while server.open_calls:
            await asyncio.sleep(0)

    async def test_cancel(self, server: ChatServer, target: str) -> None:
        """`cancel` ends the call on both sides, and wakes who waits for a reply."""
        async with ChatClient(target) as chat:
            reading = asyncio.create_task(chat.receive())
            await asyncio.sleep(0)
            await chat.cancel()
            await chat.cancel()
            with pytest.raises(CancelledCallError):
                await reading
        while server.open_calls:
            await asyncio.sleep(0)

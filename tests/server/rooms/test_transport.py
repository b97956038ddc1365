"""Tests of server/rooms/transport.py: sessions over a transport that is not gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chatify_stream import ChatServer, RoomJoin
from chatify_stream.rooms import Disconnect, Publication
from chatify_stream.rooms.metadata import JoinRequest, JoinResponse
from chatify_stream.server.rooms.session import RoomSession
from chatify_stream.server.rooms.transport import Caller, Request, SessionSummary
from chatify_stream.server.session import Peer

from ...support.waiting import until
from .membership import channel_to, joined, node_of, room_server


class Lines:
    """An encoding that writes a line for each event, and counts the messages that it wrote."""

    def __init__(self) -> None:
        self.messages = 0

    def publication(self, publication: Publication) -> bytes:
        self.messages += 1
        return f"{publication.offset} {publication.user}: {publication.text}\n".encode()

    def presence(self, user: str, joined: bool) -> bytes:
        return f"{'+' if joined else '-'}{user}\n".encode()

    def refusal(self, message_id: str, reason: str) -> bytes:
        return f"!{message_id} {reason}\n".encode()


class Left(Exception):
    pass


class MemoryTransport:
    """A transport whose client is the test."""

    def __init__(self, encoding: Lines, join: JoinRequest) -> None:
        self.encoding = encoding
        self.caller = Caller(Peer("192.0.2.1", 5), None, {"x-from": "memory"})
        self.join = join
        self.lines: list[str] = []
        self.requests: asyncio.Queue[list[Request]] = asyncio.Queue()
        self.is_half_closed = False
        self.joined: JoinResponse | None = None
        self.summary: SessionSummary | None = None
        self.task: asyncio.Task[None] | None = None
        self.can_write = asyncio.Event()
        self.can_write.set()

    def start(self, server: ChatServer) -> None:
        self.task = asyncio.create_task(RoomSession(node_of(server), self).serve())

    def read_join(self) -> JoinRequest:
        if not self.join.room:
            raise ValueError("room: missing; name one")
        return self.join

    async def send_joined(self, joined: JoinResponse) -> None:
        self.joined = joined

    def send_nowait(self, frames: bytes, count: int) -> bool:
        if self.can_write.is_set():
            lines = frames.decode().splitlines()
            assert len(lines) == count
            self.lines += lines
        return self.can_write.is_set()

    async def wait_writable(self, size: int) -> None:
        await self.can_write.wait()

    async def send(self, frames: bytes, count: int) -> None:
        raise AssertionError("send_nowait did it")

    async def receive(self) -> Sequence[Request]:
        return await self.requests.get()

    def abort(self, disconnect: Disconnect) -> None:
        assert self.task is not None
        self.task.cancel()

    def disconnect_for(self, error: BaseException) -> Disconnect | None:
        return None

    def error_for(self, disconnect: Disconnect, cause: BaseException) -> Exception:
        return Left(disconnect.text)

    def ended(self, summary: SessionSummary) -> None:
        self.summary = summary

    def say(self, *texts: str) -> None:
        self.requests.put_nowait([(text, f"id of {text}") for text in texts])

    async def leave(self) -> SessionSummary:
        self.is_half_closed = True
        self.requests.put_nowait([])
        assert self.task is not None
        await self.task
        assert self.summary is not None
        return self.summary


@asynccontextmanager
async def entered(
    server: ChatServer, encoding: Lines, user: str, **join: int
) -> AsyncIterator[MemoryTransport]:
    transport = MemoryTransport(encoding, JoinRequest("lobby", user, **join))
    transport.start(server)
    await until(lambda: transport.joined is not None)
    yield transport
    assert transport.task is not None
    assert transport.task.done()


async def test_one_room() -> None:
    """Clients of both transports exchange messages; each encoding writes a message once."""
    encoding = Lines()
    async with (
        room_server() as server,
        channel_to(server) as channel,
        entered(server, encoding, "Ada") as ada,
        entered(server, encoding, "Bob") as bob,
        joined(channel, user="Grace") as grace,
    ):
        ada.say("hi", "ho")
        assert await grace.texts(2) == ["hi", "ho"]
        await grace.say("hello")
        expected = ["1 Ada: hi", "2 Ada: ho", "3 Grace: hello"]
        await until(lambda: ada.lines == bob.lines == expected)
        assert encoding.messages == 3
        summaries = [await each.leave() for each in (ada, bob)]
    for user, summary in zip(("Ada", "Bob"), summaries, strict=True):
        assert (summary.room, summary.user) == ("lobby", user)
        assert (summary.disconnect.reason, summary.disconnect.reconnect) == ("done", False)
        assert summary.position is not None
        assert summary.position.offset == 3


async def test_history_and_presence() -> None:
    """History and users are written in the encoding of the transport."""
    async with room_server() as server:
        for text in ("one", "two", "three"):
            await server.rooms.publish("lobby", "Grace", text)
        async with entered(server, Lines(), "Ada") as ada:
            await until(lambda: node_of(server).sessions)
            await until_present(server, "Ada")
            async with entered(server, Lines(), "Bob", history=2, wants_users=True) as bob:
                await until(lambda: len(bob.lines) == 3)
                assert bob.lines == ["+Ada", "2 Grace: two", "3 Grace: three"]
                await bob.leave()
            await ada.leave()


async def until_present(server: ChatServer, user: str) -> None:
    while user not in await server.rooms.presence("lobby"):
        await asyncio.sleep(0)


async def test_slow_client() -> None:
    """Messages wait in the outbox until the transport can write."""
    async with room_server() as server, entered(server, Lines(), "Ada") as ada:
        await until_present(server, "Ada")
        ada.can_write.clear()
        await server.rooms.publish("lobby", "Grace", "hi")
        await until(lambda: node_of(server).statistics().outbox_bytes)
        ada.can_write.set()
        await until(lambda: ada.lines == ["1 Grace: hi"])
        await ada.leave()


async def test_disconnect() -> None:
    """A disconnected session cancels its task, and reports why and where to resume."""
    async with room_server() as server, entered(server, Lines(), "Ada") as ada:
        await until_present(server, "Ada")
        await server.rooms.publish("lobby", "Grace", "hi")
        await until(lambda: ada.lines)
        assert server.rooms.disconnect("Ada", reason="tea") == 1
        assert ada.task is not None
        with pytest.raises(asyncio.CancelledError):
            await ada.task
        assert ada.summary is not None
        assert ada.summary.disconnect.text == "disconnected: tea"
        assert str(ada.summary.position).endswith("/1")


async def test_invalid_request() -> None:
    """A request that cannot be read ends the session with the transport's own error."""
    async with room_server() as server:
        transport = MemoryTransport(Lines(), JoinRequest(""))
        with pytest.raises(Left, match="room: missing; name one"):
            await RoomSession(node_of(server), transport).serve()
        assert transport.summary is not None
        assert transport.summary.disconnect.reason == "bad_request"
        assert transport.summary.position is None


async def test_join_hook() -> None:
    """The join hook receives the caller that the transport names."""
    seen: list[RoomJoin] = []

    async def on_join(join: RoomJoin) -> None:
        seen.append(join)

    async with (
        room_server(on_join=on_join) as server,
        entered(server, Lines(), "Ada") as ada,
    ):
        await ada.leave()
    assert [(str(join.peer), join.metadata) for join in seen] == [
        ("192.0.2.1:5", {"x-from": "memory"})
    ]

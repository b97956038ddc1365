"""A server with rooms that checks for leaks at the end, and clients in its rooms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from chatify_stream import (
    CallError,
    Channel,
    ChatReq,
    ChatRsp,
    ChatServer,
    Limits,
    RoomOptions,
    Status,
)
from chatify_stream.server.rooms.node import Node
from chatify_stream.wire import Cardinality, ClientStream

from ...support.waiting import until

__all__ = [
    "CHAT",
    "PATIENCE",
    "End",
    "Membership",
    "channel_to",
    "entering",
    "joined",
    "node_of",
    "offsets",
    "publish",
    "refused",
    "room_server",
]

CHAT = "/service.v1.Service/Chat"
PATIENCE = 10.0


def _other_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def node_of(server: ChatServer) -> Node:
    assert server._node is not None
    return server._node


@asynccontextmanager
async def room_server(*, limits: Limits | None = None, **options: Any) -> AsyncIterator[ChatServer]:
    """Run a server with rooms. After all clients have left, nothing of them may remain in it."""
    tasks = _other_tasks()
    async with ChatServer(rooms=RoomOptions(**options), limits=limits) as server:
        await server.start("127.0.0.1", 0)
        yield server
        node = node_of(server)
        await until(lambda: server.open_calls == 0, "that all calls have ended")
        await until(
            lambda: not (node.sessions or node.background or len(node.hub)), "an empty node"
        )
        await until(lambda: not node.subscriptions._last, "that the broker is idle")
        assert node.subscriptions._subscribed == set()
    await until(lambda: _other_tasks() <= tasks, "that no task is left")


async def publish(server: ChatServer, *texts: str, room: str = "lobby") -> None:
    """Publish messages of the server's own program."""
    for text in texts:
        await server.rooms.publish(room, "bot", text)


def offsets(messages: list[ChatRsp]) -> list[int]:
    return [message.offset for message in messages]


@asynccontextmanager
async def channel_to(server: ChatServer, **options: Any) -> AsyncIterator[Channel]:
    async with Channel("127.0.0.1", server.port, **options) as channel:
        yield channel


@dataclass(frozen=True)
class End:
    """How a session ended, as its client sees it."""

    status: Status
    message: str
    trailers: dict[str, str | bytes]

    @property
    def may_come_back(self) -> str | bytes | None:
        return self.trailers.get("chat-reconnect")

    @property
    def position(self) -> str | bytes | None:
        return self.trailers.get("chat-resume")


class Membership:
    """The client of one room session."""

    def __init__(self, stream: ClientStream) -> None:
        self.stream = stream

    @property
    def headers(self) -> dict[str, str | bytes]:
        return dict(self.stream.initial_metadata or {})

    @property
    def epoch(self) -> str:
        return str(self.headers["chat-epoch"])

    async def say(self, *texts: str, id: str = "") -> None:  # noqa: A002
        for text in texts:
            await self.stream.send_message(ChatReq(name=text, id=id))

    async def hear(self, count: int = 1) -> list[ChatRsp]:
        """Return the next messages."""
        heard = []
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                message = await self.stream.recv_message()
                assert message is not None, f"the session ended after {heard}"
                heard.append(message)
        return heard

    async def texts(self, count: int = 1) -> list[str]:
        return [message.message for message in await self.hear(count)]

    async def rest(self) -> list[ChatRsp]:
        """Return all messages until the session ends OK."""
        async with asyncio.timeout(PATIENCE):
            return [message async for message in self.stream]

    async def half_close(self) -> None:
        await self.stream.end()

    async def end(self) -> End:
        """Return how the session ends, after the messages before the end were read."""
        return (await self.last_words())[1]

    async def last_words(self) -> tuple[list[ChatRsp], End]:
        """Return the remaining messages, and how the session ends."""
        heard: list[ChatRsp] = []
        async with asyncio.timeout(PATIENCE):
            try:
                while (message := await self.stream.recv_message()) is not None:
                    heard.append(message)
                await self.stream.recv_trailing_metadata()
            except CallError as error:
                return heard, End(error.status, error.message or "", dict(error.metadata))
        return heard, End(Status.OK, "", dict(self.stream.trailing_metadata or {}))


@asynccontextmanager
async def joined(
    channel: Channel,
    room: str = "lobby",
    *,
    path: str = CHAT,
    compression: str | None = None,
    **metadata: str | bytes,
) -> AsyncIterator[Membership]:
    """Open a session that is admitted; `user` and `user_bin` are the metadata values."""
    keys = _keys({"room": room, **metadata})
    async with entering(channel, keys, path=path, compression=compression) as membership:
        async with asyncio.timeout(PATIENCE):
            await membership.stream.recv_initial_metadata()
        yield membership


@asynccontextmanager
async def entering(
    channel: Channel,
    metadata: Iterable[tuple[str, str | bytes]],
    *,
    path: str = CHAT,
    compression: str | None = None,
) -> AsyncIterator[Membership]:
    """Open a session that may be rejected, and cancel it at the end."""
    stream = channel.request(
        path,
        Cardinality.STREAM_STREAM,
        ChatReq,
        ChatRsp,
        metadata=list(metadata),
        compression=compression,
    )
    await stream.__aenter__()
    try:
        await stream.send_request()
        yield Membership(stream)
    finally:
        await stream.cancel()
        await stream.__aexit__(None, None, None)


async def refused(channel: Channel, *metadata: tuple[str, str | bytes], **more: str | bytes) -> End:
    """Return how a session ends that is not admitted."""
    async with entering(channel, [*metadata, *_keys(more)]) as membership:
        return await membership.end()


def _keys(metadata: dict[str, str | bytes]) -> list[tuple[str, str | bytes]]:
    return [(f"chat-{key.replace('_', '-')}", value) for key, value in metadata.items()]

"""A server and a client of it, for tests of direct sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatify_stream import (
    ChatClient,
    ChatServer,
    RoomClient,
)

__all__ = ["answers", "client", "serving"]


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[ChatServer]:
    async with ChatServer(**options) as server:
        await server.start("127.0.0.1", 0)
        yield server


def client(server: ChatServer, **options: object) -> ChatClient:
    return ChatClient(f"127.0.0.1:{server.port}", **options)


def member(server: ChatServer, room: str, user: str) -> RoomClient:
    return RoomClient(f"127.0.0.1:{server.port}", room=room, user=user)


async def answers(server: ChatServer, *texts: str) -> list[str]:
    async with client(server) as chat:
        for text in texts:
            await chat.send(text)
        await chat.half_close()
        return [reply.message async for reply in chat]

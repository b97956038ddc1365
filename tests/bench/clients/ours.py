"""Our client: ChatClient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatify_stream import ChatClient

from .load import main


class Stream:
    def __init__(self, chat: ChatClient) -> None:
        self.send = chat.send
        self._receive = chat.receive

    async def receive(self) -> str:
        reply = await self._receive()
        assert reply is not None
        return reply.message


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Stream]:
    async with ChatClient(f"{host}:{port}") as chat:
        yield Stream(chat)


if __name__ == "__main__":
    main(connect)

"""grpclib's client, with betterproto2's messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpclib.client
from grpclib.client import Channel
from grpclib.const import Cardinality

from chatify_stream.messages.service.v1 import ChatReq, ChatRsp

from ..servers.arguments import CHAT
from .load import main


class Stream:
    def __init__(self, stream: grpclib.client.Stream[ChatReq, ChatRsp]) -> None:
        self._stream = stream

    async def send(self, text: str) -> None:
        await self._stream.send_message(ChatReq(name=text))

    async def receive(self) -> str:
        reply = await self._stream.recv_message()
        assert reply is not None
        return reply.message


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Stream]:
    async with Channel(host, port) as channel:
        async with channel.request(CHAT, Cardinality.STREAM_STREAM, ChatReq, ChatRsp) as stream:
            await stream.send_request()
            yield Stream(stream)
            await stream.end()


if __name__ == "__main__":
    main(connect)

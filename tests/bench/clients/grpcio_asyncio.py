"""grpcio's asyncio client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from tests.e2e.chat_messages import ChatReq, ChatRsp

from ..servers.arguments import CHAT
from .load import main


class Stream:
    def __init__(self, call: grpc.aio.StreamStreamCall[ChatReq, ChatRsp]) -> None:
        self._call = call

    async def send(self, text: str) -> None:
        await self._call.write(ChatReq(name=text))

    async def receive(self) -> str:
        reply = await self._call.read()
        assert reply is not grpc.aio.EOF
        return reply.message


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Stream]:
    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        method = channel.stream_stream(
            CHAT,
            request_serializer=ChatReq.SerializeToString,
            response_deserializer=ChatRsp.FromString,
        )
        call = method()
        yield Stream(call)
        await call.done_writing()
        await call.code()


if __name__ == "__main__":
    main(connect)

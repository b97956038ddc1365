"""The same services on grpcio's asyncio server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.e2e.chat_messages import ChatReq, ChatRsp

from .arguments import CHAT, FANOUT, GREETING, ROOMS, parse_arguments, say_listening
from .asyncio_rooms import Rooms
from .grpcio_methods import credentials, method_handlers

Outbox = asyncio.Queue[Any]
"""What waits for one member; None ends its call."""


async def echo(
    requests: AsyncIterator[ChatReq], context: grpc.aio.ServicerContext
) -> AsyncIterator[ChatRsp]:
    async for request in requests:
        yield ChatRsp(message=f"Hello {request.name}")


class Fanout:
    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()

    async def chat(
        self, requests: AsyncIterator[ChatReq], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ChatRsp]:
        outbox: Outbox = asyncio.Queue()
        outbox.put_nowait(ChatRsp(message=GREETING))
        self._outboxes.add(outbox)
        publishing = asyncio.create_task(self._publish_all(requests, outbox))
        try:
            while (reply := await outbox.get()) is not None:
                yield reply
        finally:
            self._outboxes.discard(outbox)
            publishing.cancel()

    async def _publish_all(self, requests: AsyncIterator[ChatReq], own: Outbox) -> None:
        async for request in requests:
            reply = ChatRsp(message=request.name)
            for outbox in self._outboxes:
                outbox.put_nowait(reply)
        own.put_nowait(None)


class Chatrooms:
    def __init__(self) -> None:
        self._rooms = Rooms(ChatRsp)

    async def chat(
        self, requests: AsyncIterator[ChatReq], context: grpc.aio.ServicerContext
    ) -> None:
        metadata = dict(context.invocation_metadata())

        async def begin() -> None:
            await context.send_initial_metadata(())

        await self._rooms.serve(
            metadata["chat-room"], metadata["chat-user"], requests, begin, context.write
        )


async def main() -> None:
    server = grpc.aio.server()
    methods = {CHAT: echo, FANOUT: Fanout().chat, ROOMS: Chatrooms().chat}
    server.add_generic_rpc_handlers(method_handlers(methods))
    if tls := parse_arguments().tls:
        port = server.add_secure_port("127.0.0.1:0", credentials(tls))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say_listening(port)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())

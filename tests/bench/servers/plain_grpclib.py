"""The same services on plain grpclib, with betterproto2's generated base class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from chatify_stream.messages.service.v1 import ChatReq, ChatRsp, ServiceBase

from .arguments import CHAT, FANOUT, GREETING, ROOMS, parse_arguments, say_listening
from .asyncio_rooms import Rooms

Outbox = asyncio.Queue[ChatRsp | None]
"""What waits for one member; None ends its call."""


class Echo(ServiceBase):
    async def chat(self, messages: AsyncIterator[ChatReq]) -> AsyncIterator[ChatRsp]:
        async for message in messages:
            yield ChatRsp(message=f"Hello {message.name}")


class Fanout(ServiceBase):
    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()

    async def chat(self, messages: AsyncIterator[ChatReq]) -> AsyncIterator[ChatRsp]:
        outbox: Outbox = asyncio.Queue()
        outbox.put_nowait(ChatRsp(message=GREETING))
        self._outboxes.add(outbox)
        publishing = asyncio.create_task(self._publish_all(messages, outbox))
        try:
            while (reply := await outbox.get()) is not None:
                yield reply
        finally:
            self._outboxes.discard(outbox)
            publishing.cancel()

    async def _publish_all(self, messages: AsyncIterator[ChatReq], own: Outbox) -> None:
        async for message in messages:
            reply = ChatRsp(message=message.name)
            for outbox in self._outboxes:
                outbox.put_nowait(reply)
        own.put_nowait(None)

    def __mapping__(self) -> dict[str, Handler]:
        return {FANOUT: super().__mapping__()[CHAT]}


class Chatrooms:
    """On grpclib's own stream, since betterproto2 gives handlers no metadata."""

    def __init__(self) -> None:
        self._rooms = Rooms(ChatRsp)

    async def chat(self, stream: Stream[ChatReq, ChatRsp]) -> None:
        assert stream.metadata is not None
        name, user = str(stream.metadata["chat-room"]), str(stream.metadata["chat-user"])
        begin = stream.send_initial_metadata
        await self._rooms.serve(name, user, stream, begin, stream.send_message)

    def __mapping__(self) -> dict[str, Handler]:
        return {ROOMS: Handler(self.chat, Cardinality.STREAM_STREAM, ChatReq, ChatRsp)}


async def main() -> None:
    tls = parse_arguments().tls
    server = Server([Echo(), Fanout(), Chatrooms()])
    await server.start("127.0.0.1", 0, ssl=tls.context() if tls else None)
    assert isinstance(server._server, asyncio.Server)
    say_listening(server._server.sockets[0].getsockname()[1])
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())

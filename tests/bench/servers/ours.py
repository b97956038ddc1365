"""Our server: ChatServer as it is, and beside it a fan-out that encodes a message once."""

from __future__ import annotations

import asyncio

from chatify_stream import ChatReq, ChatServer
from chatify_stream.codec import encode_text
from chatify_stream.wire import Cardinality, MethodHandler, ServerStream

from .arguments import FANOUT, GREETING, parse_tls, say_listening


class Publication:
    """A ChatRsp that is encoded once, however many it goes to."""

    def __init__(self, text: str) -> None:
        self._data = encode_text(text)

    def SerializeToString(self) -> bytes:  # noqa: N802
        return self._data


class Member:
    """One stream, and what waits to be sent on it."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream
        self._outbox: list[Publication] = []
        self._filled = asyncio.Event()

    def put(self, publications: list[Publication]) -> None:
        self._outbox += publications
        self._filled.set()

    async def deliver(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            batch, self._outbox = self._outbox, []
            await self._stream.send_messages(batch)


class Fanout:
    def __init__(self) -> None:
        self._members: set[Member] = set()

    async def chat(self, stream: ServerStream) -> None:
        member = Member(stream)
        member.put([Publication(GREETING)])
        self._members.add(member)
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(member.deliver())
            try:
                while requests := await stream.recv_messages():
                    publications = [Publication(request.name) for request in requests]
                    for each in self._members:
                        each.put(publications)
            finally:
                self._members.discard(member)
                delivering.cancel()

    def __mapping__(self) -> dict[str, MethodHandler]:
        method = MethodHandler(self.chat, Cardinality.STREAM_STREAM, ChatReq, Publication)
        return {FANOUT: method}


async def main() -> None:
    tls = parse_tls()
    async with ChatServer(services=[Fanout()]) as server:
        await server.start("127.0.0.1", 0, ssl=tls.context() if tls else None)
        say_listening(server.port)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())

"""Our server: ChatServer as `serve` runs it, and a fan-out that encodes each message once.

The rooms are ChatServer's own, under one more name.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from chatify_stream import ChatifyError, ChatReq, ChatRsp, ChatServer, RoomOptions
from chatify_stream.codec import decode_name, frame_text
from chatify_stream.server import MetricsOptions
from chatify_stream.wire import Cardinality, MethodHandler, ServerStream

from .arguments import FANOUT, GREETING, ROOMS, parse_arguments, say_listening


class Member:
    """One stream, and what waits for its client to read."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream
        self._outbox: list[bytes] = []
        self._filled = asyncio.Event()

    def put(self, frames: bytes) -> None:
        if self._outbox or not self._stream.try_send_framed(frames):
            self._outbox.append(frames)
            self._filled.set()

    async def deliver(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                waiting = len(self._outbox)
                await self._stream.send_framed(b"".join(self._outbox))
                del self._outbox[:waiting]


class Fanout:
    def __init__(self) -> None:
        self._members: set[Member] = set()

    async def chat(self, stream: ServerStream) -> None:
        member = Member(stream)
        member.put(frame_text(GREETING))
        self._members.add(member)
        delivering = asyncio.create_task(member.deliver())
        try:
            while names := await stream.receive_batch(decode_name):
                frames = b"".join(map(frame_text, names))
                for each in self._members:
                    each.put(frames)
        finally:
            self._members.discard(member)
            delivering.cancel()

    def __mapping__(self) -> dict[str, MethodHandler]:
        method = MethodHandler(self.chat, Cardinality.STREAM_STREAM, ChatReq, ChatRsp)
        return {FANOUT: method}


async def main() -> None:
    arguments = parse_arguments()
    tls = arguments.tls
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    rooms = RoomOptions(broker=arguments.broker)
    port = arguments.metrics_port
    metrics = None if port is None else MetricsOptions(port)
    async with ChatServer(
        services=[Fanout()], paths=[ROOMS], rooms=rooms, metrics=metrics
    ) as server:
        await server.start("127.0.0.1", 0, ssl=tls.context() if tls else None)
        say_listening(server.port)
        await server.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ChatifyError as error:
        sys.exit(f"{error}")

"""The peer to compare with: the same service on plain grpclib and betterproto2.

python -m tests.bench.plain_grpclib
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from grpclib.server import Server

from chatify_stream.messages.service.v1 import ChatReq, ChatRsp, ServiceBase


class Service(ServiceBase):
    async def chat(self, messages: AsyncIterator[ChatReq]) -> AsyncIterator[ChatRsp]:
        async for message in messages:
            yield ChatRsp(message=f"Hello {message.name}")


async def main() -> None:
    server = Server([Service()])
    await server.start("127.0.0.1", 0)
    assert isinstance(server._server, asyncio.Server)
    port = server._server.sockets[0].getsockname()[1]
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass

"""Call the generated stub: an iterator of messages in, an async iterator of replies out.

python examples/stub_client.py [HOST:PORT]
"""

import asyncio
import sys

from chatify_stream import Channel, ChatReq, ServiceStub


async def main(target: str) -> None:
    host, _, port = target.rpartition(":")
    async with Channel(host, int(port)) as channel:
        stub = ServiceStub(channel)
        async for reply in stub.chat([ChatReq(name="Ada"), ChatReq(name="Grace")], timeout=30):
            print(reply.message)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9000"))

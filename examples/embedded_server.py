"""Run a chat server beside the other tasks of an asyncio program.

python examples/embedded_server.py [PORT]
"""

import asyncio
import sys

from chatify_stream import ChatServer

visitors: list[str] = []


async def reply(name: str) -> str:
    visitors.append(name)
    return f"Welcome, {name}! You are number {len(visitors)}."


async def report() -> None:
    """Stand for the other tasks of the program."""
    while True:
        await asyncio.sleep(10)
        print(f"{len(visitors)} messages so far", flush=True)


async def main(port: int) -> None:
    async with ChatServer(reply=reply) as server:
        await server.start("127.0.0.1", port)
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        await report()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000))
    except KeyboardInterrupt:
        pass

"""Send five messages and print the last reply, like the example client of the Go service.

python examples/chat_client.py [HOST:PORT]
"""

import asyncio
import sys

from chatify_stream import CallError, ChatClient


async def main(target: str) -> None:
    try:
        async with ChatClient(target, timeout=30) as chat:
            for number in range(5):
                await chat.send(f"Message {number}")
            reply = await chat.close_and_recv()
    except CallError as error:
        sys.exit(f"the call failed: {error}")
    if reply is not None:
        print(f"Response: {reply.message}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9000"))

"""Control a session: metadata, several replies, trailers, and a status.

python examples/session_handler.py [PORT]
"""

import asyncio
import sys

from chatify_stream import ChatServer, Session, Status, StatusError


async def count_down(session: Session) -> None:
    """Answer a number with a countdown from it."""
    await session.send_initial_metadata({"served-to": str(session.peer)})
    greeting = session.metadata.get("greeting", "Lift-off!")
    async for request in session:
        if not request.name.isdecimal():
            raise StatusError(
                Status.INVALID_ARGUMENT, f"{request.name!r} is not a number; send one, such as 3"
            )
        for number in range(int(request.name), 0, -1):
            await session.send(str(number))
        await session.send(str(greeting))
    session.trailers["countdowns"] = "complete"


async def main(port: int) -> None:
    async with ChatServer(handler=count_down) as server:
        await server.start("127.0.0.1", port)
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000))
    except KeyboardInterrupt:
        pass

"""Answer questions in a room, across restarts of the server.

python examples/room_bot.py [HOST:PORT] [ROOM]
"""

import asyncio
import sys
from datetime import UTC, datetime

from chatify_stream import CallError, Gap, Message, Reconnecting, RoomClient


async def main(target: str, room: str) -> None:
    try:
        async with RoomClient(target, room=room, user="clock") as chat:
            print(f"in {room}, after {chat.position}", flush=True)
            async for event in chat:
                match event:
                    case Message(text="what time is it?", is_own=False, id=question):
                        now = datetime.now(UTC).strftime("%H:%M UTC")
                        # The same question has the same id, so it is answered at most once.
                        await chat.send(f"it is {now}", id=f"answer-{question}")
                    case Reconnecting(delay=delay, error=error):
                        print(
                            f"{error}; reconnecting in {delay:.1f} s", file=sys.stderr, flush=True
                        )
                    case Gap():
                        print("questions may have been missed", file=sys.stderr, flush=True)
    except CallError as error:
        sys.exit(f"the call failed: {error}")


if __name__ == "__main__":
    try:
        target, room, *_ = [*sys.argv[1:], *("localhost:9000", "lobby")[len(sys.argv) - 1 :]]
        asyncio.run(main(target, room))
    except KeyboardInterrupt:
        pass

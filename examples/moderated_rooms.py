"""Serve rooms with rules for joins and messages, and store them on disk.

python examples/moderated_rooms.py [PORT] [FILE]
"""

import asyncio
import sys

from chatify_stream import (
    ChatServer,
    RefusedError,
    Retention,
    RetentionRule,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomOptions,
)

STAFF = {"grace"}


async def on_join(join: RoomJoin) -> None:
    if join.room.startswith("staff-") and join.user not in STAFF:
        raise RefusedError(f"{join.room} is for the staff")
    print(f"{join.user} joins {join.room} from {join.peer}", flush=True)


async def on_message(message: RoomMessage) -> str | None:
    if len(message.text) > 500:
        raise RefusedError(f"{len(message.text)} characters are too many; 500 are allowed")
    return message.text.replace("darn", "****")


async def on_leave(leave: RoomLeave) -> None:
    print(f"{leave.user} leaves {leave.room}", flush=True)


async def main(port: int, file: str) -> None:
    options = RoomOptions(
        broker=f"sqlite:///{file}",
        retention=Retention(count=1000),
        retention_rules=[RetentionRule("staff-*", Retention(count=100_000, age=30 * 86400))],
        on_join=on_join,
        on_message=on_message,
        on_leave=on_leave,
    )
    async with ChatServer(rooms=options) as server:
        await server.start("127.0.0.1", port)
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        while True:
            await asyncio.sleep(3600)
            for room in (await server.rooms.list()).rooms:
                await server.rooms.publish(room.name, "the clock", "another hour has gone by")


if __name__ == "__main__":
    try:
        asyncio.run(
            main(
                int(sys.argv[1]) if len(sys.argv) > 1 else 9000,
                sys.argv[2] if len(sys.argv) > 2 else "chat.db",
            )
        )
    except KeyboardInterrupt:
        pass

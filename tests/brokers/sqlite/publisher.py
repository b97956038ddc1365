"""A program that publishes until it is killed, and prints what was acknowledged: id and offset.

`python -m tests.brokers.sqlite.publisher PATH NAME ROOMS TASKS KEPT [CALLS]`

Rooms keep so many messages, and the others are deleted as soon as can be.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from itertools import count

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.brokers.sqlite import maintenance as maintenance
from chatify_stream.rooms import Draft, Outcome, Retention
from chatify_stream.testing import Recorder


def text_of(message_id: str) -> str:
    return f"<the text of {message_id}>"


async def main(
    path: str, name: str, rooms: int, tasks: int, kept: int, calls: int | None = None
) -> None:
    maintenance.USED_SCAN_MS = 1
    broker = SQLiteBroker(path, Retention(count=kept))
    await broker.open(Recorder())
    os.write(1, b"open\n")

    async def publish(task: int) -> None:
        for n in count() if calls is None else range(calls):
            room, message_id = f"room-{(task + n) % rooms}", f"{name}-{task}-{n}"
            draft = Draft("ada", text_of(message_id), message_id, int(time.time() * 1000))
            [receipt] = await broker.publish(room, [draft])
            assert receipt.outcome is Outcome.PUBLISHED
            os.write(1, f"{room} {message_id} {receipt.position.offset}\n".encode())

    await asyncio.gather(*[publish(task) for task in range(tasks)])
    await broker.close()


if __name__ == "__main__":
    path, name, *numbers = sys.argv[1:]
    asyncio.run(main(path, name, *map(int, numbers)))

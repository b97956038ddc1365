"""Somebody who uses the server well while it is attacked, in a process of its own.

A direct session, and two members of a room, each on a connection of its own, speak without a pause.
Each answer has to be right, each message has to come to both, in order and once, and no session may
end: otherwise this process ends, with what was wrong on its stderr.

A line on stdin has a number: once each session has had that number of further answers, a line of
JSON says how long the answers since the last such line took.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import Any

from chatify_stream import Channel, ChatClient, Message, RoomClient, client_tls

__all__: list[str] = []

PAUSE = 0.004
"""Seconds between two messages of one session."""

PATIENCE = 60.0


class Bystander:
    def __init__(self, token: str, context: ssl.SSLContext | None) -> None:
        self.token = token
        self.context = context
        self.seconds: list[float] = []
        self.direct = 0
        self.room = 0
        self.changed = asyncio.Event()

    def answered(self, started: float) -> None:
        self.seconds.append(time.perf_counter() - started)
        self.changed.set()

    async def speak_directly(self, port: int) -> None:
        metadata = {"authorization": f"Bearer {self.token}"} if self.token else None
        async with (
            Channel("127.0.0.1", port, ssl=self.context) as channel,
            ChatClient(channel, metadata=metadata) as chat,
        ):
            while True:
                text, started = f"bystander {self.direct}", time.perf_counter()
                async with asyncio.timeout(PATIENCE):
                    await chat.send(text)
                    answer = await chat.receive()
                assert answer is not None, "the direct session has ended"
                assert answer.message == f"Hello {text}", f"{text!r} was answered {answer!r}"
                self.direct += 1
                self.answered(started)
                await asyncio.sleep(PAUSE)

    async def speak_in_a_room(self, port: int) -> None:
        target = f"127.0.0.1:{port}"
        options: dict[str, Any] = {"token": self.token or None, "ssl": self.context}
        async with (
            RoomClient(target, room="bystanders", **options) as ada,
            RoomClient(target, room="bystanders", **options) as bob,
        ):
            for each in (ada, bob):
                await each.receive()  # Connected
            while True:
                text, started = f"bystander {self.room}", time.perf_counter()
                async with asyncio.timeout(PATIENCE):
                    position = await ada.send(text)
                    heard = [await ada.receive(), await bob.receive()]
                for event in heard:
                    assert isinstance(event, Message), f"instead of {text!r} came {event!r}"
                    assert (event.text, event.position) == (text, position), f"{text!r}: {event!r}"
                self.room += 1
                self.answered(started)
                await asyncio.sleep(PAUSE)

    async def report(self, more: int) -> dict[str, Any]:
        direct, room = self.direct + more, self.room + more
        while self.direct < direct or self.room < room:
            self.changed.clear()
            await self.changed.wait()
        seconds, self.seconds = sorted(self.seconds), []
        return {
            "answers": len(seconds),
            "p50": seconds[len(seconds) // 2],
            "p99": seconds[len(seconds) * 99 // 100],
            "worst": seconds[-1],
        }


async def main(port: int, token: str, authority: str) -> None:
    bystander = Bystander(token, client_tls(ca=authority) if authority else None)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with asyncio.TaskGroup() as group:
        speaking = [
            group.create_task(bystander.speak_directly(port)),
            group.create_task(bystander.speak_in_a_room(port)),
        ]
        while line := await lines.readline():
            print(json.dumps(await bystander.report(int(line))), flush=True)
        for task in speaking:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))

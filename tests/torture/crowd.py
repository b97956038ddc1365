"""Many clients in several rooms, who talk while something happens to their servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chatify_stream import ChatServer, RoomClient, RoomOptions

from .checker import Delivery, Record
from .clients import END, Talker

__all__ = ["Crowd", "read_logs"]

PATIENCE = 120.0
"""Seconds without any progress after which a run is given up."""


LONG = 24 * 3600.0
"""Seconds for which there is enough to say, for those who talk on."""


class Crowd:
    """The clients of a run."""

    def __init__(
        self,
        target: str,
        *,
        rooms: int,
        clients: int,
        messages: int,
        seed: int,
        seconds: float = 0.0,
    ) -> None:
        """The `messages` of all together are spread over so many `seconds`."""
        self._target = target
        self._progress = asyncio.Event()
        self.talkers = [
            Talker(
                target,
                Record(f"room {number % rooms} 房", f"client-{number}"),
                messages // clients,
                seed + number,
                self._progress.set,
                seconds,
            )
            for number in range(clients)
        ]

    @classmethod
    def talking_on(cls, target: str, *, rooms: int, clients: int, rate: float, seed: int) -> Crowd:
        """All together say so many messages a second, until they are asked to be quiet."""
        messages = int(rate * LONG)
        return cls(target, rooms=rooms, clients=clients, messages=messages, seed=seed, seconds=LONG)

    @property
    def records(self) -> list[Record]:
        return [talker.record for talker in self.talkers]

    @property
    def rooms(self) -> list[str]:
        return sorted({record.room for record in self.records})

    @property
    def acknowledged(self) -> int:
        return sum(len(record.acknowledged) for record in self.records)

    @property
    def delivered(self) -> int:
        return sum(len(record.delivered) for record in self.records)

    async def talk_through(self, ordeal: Callable[[], Awaitable[object]]) -> None:
        """Returns when the ordeal, which begins when all are in, is over, all has been said, and
        everybody has the last message of their room."""
        async with asyncio.TaskGroup() as group:
            for talker in self.talkers:
                group.create_task(talker.run())
            await self.until(lambda: all(talker.is_in for talker in self.talkers))
            await ordeal()
            await self.until(lambda: all(talker.has_said_all for talker in self.talkers))
            await asyncio.gather(*map(self._end, self.rooms))

    async def _end(self, room: str) -> None:
        async with RoomClient(self._target, room=room, user="the end", wait_for_ready=True) as chat:
            await chat.send(END)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Raises `TimeoutError` when nothing happens."""
        while not condition():
            self._progress.clear()
            async with asyncio.timeout(PATIENCE):
                await self._progress.wait()


async def read_logs(broker: str, rooms: list[str]) -> dict[str, list[Delivery]]:
    """The whole logs, as another server finds them."""
    logs: dict[str, list[Delivery]] = {}
    async with ChatServer(rooms=RoomOptions(broker=broker)) as server:
        await server.start("127.0.0.1", 0)
        for room in rooms:
            log = logs[room] = []
            while True:
                page = await server.rooms.history(room, after=len(log), limit=1000)
                if not page.publications:
                    break
                for offset, user, text, message_id, _ in page.publications:
                    log.append(Delivery(page.newest.epoch, offset, user, message_id, text))
    return logs

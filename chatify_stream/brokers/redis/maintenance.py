"""What is looked after from time to time, so that nothing stays wrong for long.

Each room that this server has to do with is looked into within `ROUND` seconds, or as many as there
are rooms for: messages whose notice was lost, a log that has gone back, and those who are here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from ...errors import BrokerError
from .errors import LostError

__all__ = ["Upkeep"]

log = logging.getLogger(__name__)

ROUND = 5.0
LONGEST_ROUND = 20.0
"""Seconds; a third of what presence lasts."""

RATE = 500
"""Rooms a second, unless that makes a round too long."""

TOGETHER = 50
"""Rooms that are asked about at once; in a hurry, ten times as many."""

SWEEP_ROUNDS = 12
"""Rounds after which empty rooms are looked for."""


class Upkeep:
    """One task."""

    def __init__(
        self,
        look_after: Callable[[str], Awaitable[None]],
        rooms: Callable[[], Collection[str]],
        sweep: Callable[[], Awaitable[None]],
    ) -> None:
        self._look_after = look_after
        self._rooms = rooms
        self._sweep = sweep
        self._urgent: dict[str, None] = {}
        self._has_urgent = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._go_round()), loop.create_task(self._run())]

    def hurry(self, rooms: Iterable[str]) -> None:
        """Looks after these now."""
        self._urgent.update(dict.fromkeys(rooms))
        self._has_urgent.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _go_round(self) -> None:
        count = 0
        while True:
            rooms = list(self._rooms())
            seconds = min(max(ROUND, len(rooms) / RATE), LONGEST_ROUND)
            pause = seconds / max(1, -(-len(rooms) // TOGETHER))
            for first in range(0, max(1, len(rooms)), TOGETHER):
                await asyncio.sleep(pause)
                await self._all(rooms[first : first + TOGETHER])
            count += 1
            if count % SWEEP_ROUNDS == 0:
                await self._one(self._sweep())

    async def _run(self) -> None:
        while True:
            await self._has_urgent.wait()
            rooms = list(self._urgent)[: 10 * TOGETHER]
            for room in rooms:
                del self._urgent[room]
            if not self._urgent:
                self._has_urgent.clear()
            await self._all(rooms)

    async def _all(self, rooms: Iterable[str]) -> None:
        await asyncio.gather(*(self._one(self._look_after(room)) for room in rooms))

    async def _one(self, job: Awaitable[None]) -> None:
        """What cannot be done now is done the next time."""
        try:
            await job
        except BrokerError as error:
            log.debug("%s", error)
        except LostError as error:
            log.debug("Redis: %s", error)
        except Exception:  # a fault of ours, and it goes on all the same
            log.exception("a room is not looked after")

"""Regular checks of rooms, so that errors do not persist.

Each room in use on this server is checked within `ROUND` seconds, or up to `MAX_ROUND` if there are
many rooms. A check finds messages whose notice was lost and logs that went backwards, and renews
the presence of local users.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field

from ...errors import BrokerError

log = logging.getLogger(__name__)

ROUND = 5.0
MAX_ROUND = 20.0
"""Seconds of one round: a third of the time that presence lasts, at most."""

RATE = 500
"""Rooms a second, unless a round would take too long."""

CONCURRENCY = 50
"""Rooms checked at once; ten times as many for urgent checks."""

SWEEP_ROUNDS = 12
"""Rounds between two searches for empty rooms."""


@dataclass
class Maintenance:
    check_room: Callable[[str], Awaitable[None]]
    rooms: Callable[[], Collection[str]]
    sweep: Callable[[], Awaitable[None]]
    _urgent: dict[str, None] = field(default_factory=dict)
    _has_urgent: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        jobs = self._check_regularly(), self._check_urgent()
        self._tasks = [asyncio.create_task(job) for job in jobs]

    def check_now(self, rooms: Iterable[str]) -> None:
        self._urgent.update(dict.fromkeys(rooms))
        self._has_urgent.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _check_regularly(self) -> None:
        for count in itertools.count(1):
            rooms = list(self.rooms())
            seconds = min(max(ROUND, len(rooms) / RATE), MAX_ROUND)
            pause = seconds / max(1, -(-len(rooms) // CONCURRENCY))
            for first in range(0, max(1, len(rooms)), CONCURRENCY):
                await asyncio.sleep(pause)
                await self._all(rooms[first : first + CONCURRENCY])
            if count % SWEEP_ROUNDS == 0:
                await self._one(self.sweep())

    async def _check_urgent(self) -> None:
        while True:
            await self._has_urgent.wait()
            rooms = list(self._urgent)[: 10 * CONCURRENCY]
            for room in rooms:
                del self._urgent[room]
            if not self._urgent:
                self._has_urgent.clear()
            await self._all(rooms)

    async def _all(self, rooms: Iterable[str]) -> None:
        await asyncio.gather(*(self._one(self.check_room(room)) for room in rooms))

    async def _one(self, job: Awaitable[None]) -> None:
        """Run a check; a failed one is repeated in the next round."""
        try:
            await job
        except BrokerError as error:
            log.debug("%s", error)
        except Exception:  # a bug; continue with the other rooms
            log.exception("cannot check a room")

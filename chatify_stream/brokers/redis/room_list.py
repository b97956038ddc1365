"""The list of rooms.

Redis sorts the list, which contains names only; all other facts are read from the room. In a
Cluster the list and the room are on different nodes, so a room records whether it is listed. A
server that publishes in an unlisted room lists it. A server that finds an empty room removes it
from the list, then checks that the room is still empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from ...rooms.position import Position
from ..base import RoomInfo, RoomPage
from .pipeline import Ask
from .scripts import Keys, slot_of
from .shards import Shards

SAMPLE = 20
"""Names that one sweep checks, so that empty rooms disappear even if the list is never read."""


@dataclass
class RoomList:
    keys: Keys
    shards: Shards
    describe: Callable[[str], Awaitable[tuple[Position, int, int]]]
    """Returns the position of a room and the numbers of its messages and users."""

    async def add(self, room: str) -> None:
        keys = self.keys.of_room(room)
        await self._ask(keys.listed_in, "ZADD", 0, room)
        await self._ask(keys.four[0], "HSET", "listed", 1)

    async def page(self, prefix: str, after: str, limit: int) -> RoomPage:
        """Return a page of rooms; see `Broker.rooms`."""
        found: list[RoomInfo] = []
        while len(found) <= limit:
            names = await self._names(prefix, after, limit + 1)
            if not names:
                break
            infos = await asyncio.gather(*map(self._info, names))
            found += [info for info in infos if info is not None]
            after = names[-1]
        return RoomPage(found[:limit], len(found) > limit)

    async def sweep(self) -> None:
        for index in self.keys.indexes:
            names = await self._ask(index, "ZRANDMEMBER", SAMPLE)
            await asyncio.gather(*(self._info(name.decode()) for name in names))

    async def _names(self, prefix: str, after: str, count: int) -> list[str]:
        """Return the next names; UTF-8 bytes sort like code points."""
        first = f"({after}" if after >= prefix and after else f"[{prefix}" if prefix else "-"
        last = f"({behind}" if (behind := _after_prefix(prefix)) else "+"
        words = ("ZRANGEBYLEX", first, last, "LIMIT", 0, count)
        pages = await asyncio.gather(*(self._ask(index, *words) for index in self.keys.indexes))
        return nsmallest(count, (name.decode() for names in pages for name in names))

    async def _info(self, room: str) -> RoomInfo | None:
        """Return the entry of a room, or None after removing an empty room from the list."""
        newest, messages, users = await self.describe(room)
        if not messages and not users:
            await self._ask(self.keys.of_room(room).listed_in, "ZREM", room)
            newest, messages, users = await self.describe(room)
            if not messages and not users:
                return None
            await self.add(room)
        return RoomInfo(room, newest, users)

    async def _ask(self, key: str, command: str, *arguments: str | int) -> Any:
        return await self.shards.read(Ask(slot_of(key), (command, key, *arguments)))


def _after_prefix(prefix: str) -> str:
    """Return the smallest text after all texts with this prefix, or "" if there is none."""
    shortened = prefix.rstrip("\U0010ffff")
    if not shortened:
        return ""
    last = ord(shortened[-1])
    return shortened[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)

"""Which rooms there are.

Rules: the list is of names alone, sorted by Redis; what a room is, is asked of the room. In a
Cluster the list is in another place than the room, so a room knows whether it is listed: whoever
says something in one that is not lists it, and whoever finds an empty one takes it off, and looks
once more whether it has stayed empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from heapq import nsmallest
from typing import Any

from ...rooms.position import Position
from ..base import RoomInfo, RoomPage
from .keys import Keys
from .shards import slot_of

__all__ = ["Listing"]

SAMPLE = 20
"""Names that are looked at from time to time, so that empty rooms go that nobody lists."""


class Listing:
    """The list of rooms."""

    def __init__(
        self,
        keys: Keys,
        ask: Callable[..., Awaitable[Any]],
        about: Callable[[str], Awaitable[tuple[Position, int, int]]],
    ) -> None:
        """`ask` a command of Redis, by slot; `about` a room: position, messages, users."""
        self._keys = keys
        self._ask = ask
        self._about = about

    async def add(self, room: str) -> None:
        """Lists a room."""
        keys = self._keys.of_room(room)
        await self._ask(slot_of(keys.listed_in), "ZADD", keys.listed_in, 0, room)
        await self._ask(keys.slot, "HSET", keys.four[0], "listed", 1)

    async def page(self, prefix: str, after: str, limit: int) -> RoomPage:
        """What a broker's `rooms` gives."""
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
        """Takes off some of the rooms that are empty."""
        for index in self._keys.indexes:
            names = await self._ask(slot_of(index), "ZRANDMEMBER", index, SAMPLE)
            await asyncio.gather(*(self._info(name.decode()) for name in names))

    async def _names(self, prefix: str, after: str, count: int) -> list[str]:
        """The next names; code points and bytes of UTF-8 have the same order."""
        least = f"({after}" if after >= prefix and after else f"[{prefix}" if prefix else "-"
        behind = _behind(prefix)
        most = f"({behind}" if behind else "+"
        pages = await asyncio.gather(
            *(
                self._ask(slot_of(index), "ZRANGEBYLEX", index, least, most, "LIMIT", 0, count)
                for index in self._keys.indexes
            )
        )
        return nsmallest(count, (name.decode() for names in pages for name in names))

    async def _info(self, room: str) -> RoomInfo | None:
        """None for a room that is empty, which is not listed any more."""
        newest, messages, users = await self._about(room)
        if not messages and not users:
            keys = self._keys.of_room(room)
            await self._ask(slot_of(keys.listed_in), "ZREM", keys.listed_in, room)
            newest, messages, users = await self._about(room)
            if not messages and not users:
                return None
            await self.add(room)
        return RoomInfo(room, newest, users)


def _behind(prefix: str) -> str:
    """The least text that is behind all that begin so; nothing when there is none."""
    shortened = prefix.rstrip("\U0010ffff")
    if not shortened:
        return ""
    last = ord(shortened[-1])
    return shortened[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)

"""Rooms as the peers on asyncio have them, whatever their messages are made of."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

__all__ = ["Rooms"]

OUTBOX_SIZE = 256
"""How many messages may wait for one member before publishing waits for it."""

Outbox = asyncio.Queue[Any]
"""What waits for one member; None ends its call."""


class Room:
    """Gives its messages their offsets, and to all members in that order."""

    def __init__(self, make_reply: Callable[..., Any]) -> None:
        self._make_reply = make_reply
        self._offset = 0
        self._outboxes: set[Outbox] = set()
        self._order = asyncio.Lock()

    def join(self) -> Outbox:
        outbox: Outbox = asyncio.Queue(OUTBOX_SIZE)
        self._outboxes.add(outbox)
        return outbox

    def leave(self, outbox: Outbox) -> None:
        self._outboxes.discard(outbox)
        while not outbox.empty():  # somebody may wait to publish
            outbox.get_nowait()

    async def publish_all(self, requests: AsyncIterator[Any], user: str, own: Outbox) -> None:
        """Publishes what a member says, and ends its call behind all that."""
        async for request in requests:
            async with self._order:
                self._offset += 1
                reply = self._make_reply(
                    message=request.name,
                    sender=user,
                    id=request.id,
                    offset=self._offset,
                    sent_at_ms=int(time.time() * 1000),
                )
                for outbox in list(self._outboxes):
                    if outbox.full():
                        await outbox.put(reply)
                    else:
                        outbox.put_nowait(reply)
        await own.put(None)


class Rooms:
    """The rooms of a server."""

    def __init__(self, make_reply: Callable[..., Any]) -> None:
        """`make_reply` is the class of the replies."""
        self._rooms: defaultdict[str, Room] = defaultdict(lambda: Room(make_reply))

    async def serve(
        self,
        name: str,
        user: str,
        requests: AsyncIterator[Any],
        begin: Callable[[], Awaitable[None]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """One member: `begin` sends the headers, `send` a reply."""
        room = self._rooms[name]
        outbox = room.join()
        publishing: asyncio.Task[None] | None = None
        try:
            await begin()
            publishing = asyncio.create_task(room.publish_all(requests, user, outbox))
            while (reply := await outbox.get()) is not None:
                await send(reply)
        finally:
            room.leave(outbox)
            if publishing is not None:
                publishing.cancel()

"""The broker, in the event loop: it asks two threads, one that writes and one that reads."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from heapq import nsmallest

from ...errors import BrokerError
from ...rooms import Draft, LogPage, Receipt, Retention, RetentionRule
from ...rooms.position import Position
from ..base import RoomPage, Subscriber
from ..single_server import SingleServerBroker
from .batch import Batch
from .pages import Reader, read_page
from .worker import Worker
from .writer import Writer

__all__ = ["SQLiteBroker"]

LARGEST_BATCH = 4096
"""Drafts of one transaction, unless one call has more."""

READ_TOGETHER = 8
"""Pages that are read before the first of them is answered."""


class SQLiteBroker(SingleServerBroker):
    """A `Broker` whose logs, epochs and ids are in one file, of one server at a time.

    What was acknowledged survives the end of the process, and of the machine as far as its disk
    does what it says. Beside the file there are three more, with `-mark`, `-wal` and `-shm` behind
    its name; a backup has them all, of a server that is stopped. A database without its `-mark`
    begins new epochs, since nobody knows whether its end is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        retention: Retention | None = None,
        rules: Sequence[RetentionRule] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`rules` are for rooms of certain names; `clock` gives seconds since 1970."""
        super().__init__(clock)
        url = f"sqlite:///{os.fspath(path)}"
        file = os.path.realpath(path)
        retention = retention or Retention()
        self._writing = Writer(url, file, retention, rules, self._now_ms)
        self._writer: Worker[Batch] = Worker("sqlite writer", self._writing, LARGEST_BATCH)
        reading = Reader(url, file)
        self._reader: Worker[sqlite3.Connection] = Worker("sqlite reader", reading, READ_TOGETHER)

    async def open(self, subscriber: Subscriber) -> None:
        """Reads the whole file, to check it: about a second for each gigabyte that is cached."""
        self._writing.subscriber = subscriber
        await self._writer.start()
        try:
            await self._reader.start()
        except BaseException:
            await self._writer.stop()
            raise
        self._subscriber = subscriber

    async def close(self) -> None:
        self._subscriber = None
        await self._reader.stop()
        await self._writer.stop()  # whose connection is the last, and tidies up

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        for user, text, message_id, _ in drafts:  # what is no text raises here, alone
            f"{user}{text}{message_id}".encode()
        request = partial(Batch.publish, name=room, drafts=drafts)
        return await self._writer.ask(request, len(drafts))

    async def read(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> LogPage:
        self._open_subscriber()
        found = self._writing.catalog.rooms.get(room)
        if found is None:
            found = await self._writer.ask(partial(Batch.create, name=room))
        request = partial(
            read_page,
            room=found,
            now_ms=self._now_ms(),
            after=after,
            before=before,
            limit=limit,
            newest=newest,
        )
        return await self._reader.ask(request)

    async def subscribe(self, room: str) -> None:
        await self._writer.ask(partial(Batch.subscribe, name=room))

    async def unsubscribe(self, room: str) -> None:
        if self._subscriber is not None:
            await self._writer.ask(partial(Batch.unsubscribe, name=room))

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        self._open_subscriber()
        known, now_ms, present = self._writing.catalog.rooms, self._now_ms(), self._presence.rooms()

        def find(_: sqlite3.Connection) -> list[str]:
            """In a thread, since there may be very many."""
            kept = {name for name, room in known.copy().items() if room.keeps_messages(now_ms)}
            found = (n for n in kept | present if n.startswith(prefix) and n > after)
            return nsmallest(limit + 1, found)

        names = await self._reader.ask(find)
        return RoomPage([self._info(name) for name in names[:limit]], len(names) > limit)

    def _newest(self, room: str) -> Position:
        found = self._writing.catalog.rooms.get(room)
        return Position("", 0) if found is None else found.newest

    def _refusal(self, reason: str) -> BrokerError:
        return self._writing.refusal(reason)

"""The broker's event loop side: it passes requests to a writer thread and a reader thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from heapq import nsmallest

from ...rooms import Draft, LogPage, Receipt, Retention, RetentionRule
from ...rooms.position import Position
from ..base import RoomPage, SingleServerBroker, Subscriber
from .pages import Reader, read_page
from .room_index import Batch
from .worker import Worker
from .writer import Writer

MAX_BATCH = 4096
"""Drafts in one transaction, unless a single call has more."""

MAX_READS = 8
"""Pages that the reader thread reads before it answers the first request."""


class SQLiteBroker(SingleServerBroker):
    """A `Broker` that keeps logs, epochs and ids in one file, used by one server at a time.

    Acknowledged messages survive a crash of the process and, if the disk honours sync requests, of
    the machine. Three files beside the database share its name: `-mark`, `-wal` and `-shm`. To back
    up, stop the server and copy all four. Without its `-mark` a database starts new epochs, because
    its newest transactions might be missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        retention: Retention | None = None,
        rules: Sequence[RetentionRule] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create a closed broker.

        `retention` applies to rooms that match none of `rules`. `clock` returns Unix time in
        seconds.
        """
        url, file = f"sqlite:///{os.fspath(path)}", os.path.realpath(path)
        super().__init__(url, clock)
        self._writing = Writer(url, file, retention or Retention(), rules, self._now_ms)
        self._writer = Worker("sqlite writer", url, self._writing, MAX_BATCH)
        self._reader = Worker("sqlite reader", url, Reader(url, file), MAX_READS)

    async def open(self, subscriber: Subscriber) -> None:
        """Read and check the whole file: about a second per gigabyte if the file is cached."""
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
        await self._writer.stop()  # closing the last connection removes the -wal and -shm files

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        for user, text, message_id, _ in drafts:
            # An invalid text must fail alone, not with its whole batch.
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
        found = self._writing.index.rooms.get(room)
        if found is None:
            found = await self._writer.ask(partial(Batch.create, name=room))
        now_ms = self._now_ms()
        return await self._reader.ask(
            lambda connection: read_page(connection, found, now_ms, after, before, limit, newest)
        )

    async def subscribe(self, room: str) -> None:
        await self._writer.ask(partial(Batch.subscribe, name=room))

    async def unsubscribe(self, room: str) -> None:
        if self._subscriber is not None:
            await self._writer.ask(partial(Batch.unsubscribe, name=room))

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        self._open_subscriber()
        known, now_ms, present = self._writing.index.rooms, self._now_ms(), self._presence.rooms()

        def find(_: sqlite3.Connection) -> list[str]:
            """Select the names in the reader thread, because there may be very many rooms."""
            kept = {name for name, room in known.copy().items() if room.keeps_messages(now_ms)}
            found = (n for n in kept | present if n.startswith(prefix) and n > after)
            return nsmallest(limit + 1, found)

        names = await self._reader.ask(find)
        return RoomPage([self._info(name) for name in names[:limit]], len(names) > limit)

    def _newest(self, room: str) -> Position:
        found = self._writing.index.rooms.get(room)
        return Position("", 0) if found is None else found.newest

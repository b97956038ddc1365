"""`memory://`: keeps the logs in the memory of this process.

A room without messages and without sessions is removed. Its next use starts a new epoch.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b

from ..rooms import Draft, Log, LogPage, Receipt, Retention, RetentionRule, retention_of
from ..rooms.position import Position, new_epoch
from .base import RoomPage, SingleServerBroker, Subscriber

SWEEP_MS = 60_000
"""Milliseconds between two searches for rooms whose messages have all expired."""


class MemoryBroker(SingleServerBroker):
    """A `Broker` in memory. Retention bounds each room; the number of rooms is not bounded."""

    def __init__(
        self,
        retention: Retention | None = None,
        rules: Sequence[RetentionRule] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create a closed broker.

        `retention` applies to rooms that match none of `rules`. `clock` returns Unix time in
        seconds.
        """
        super().__init__("memory://", clock)
        self._retention = retention or Retention()
        self._rules = tuple(rules)
        self._logs: dict[str, Log] = {}
        self._epoch = new_epoch()
        """Seed of the epochs of new rooms, together with their names."""
        self._subscribed: set[str] = set()
        self._swept_ms = 0

    async def open(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    async def close(self) -> None:
        self._subscriber = None
        self._subscribed.clear()

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        subscriber = self._open_subscriber()
        now_ms = self._now_ms()
        receipts, added = self._log(room).publish(drafts, now_ms)
        if added and room in self._subscribed:
            subscriber.published(room, added)
        self._sweep(now_ms)
        return receipts

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
        log = self._log(room)
        return log.read(self._now_ms(), after=after, before=before, limit=limit, newest=newest)

    async def subscribe(self, room: str) -> None:
        subscriber = self._open_subscriber()
        self._subscribed.add(room)
        subscriber.begins_at(room, self._log(room).newest)

    async def unsubscribe(self, room: str) -> None:
        self._subscribed.discard(room)
        self._forget_if_empty(room)

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        self._open_subscriber()
        now_ms = self._now_ms()
        for log in self._logs.values():
            log.expire(now_ms)
        kept = {name for name, log in self._logs.items() if log.has_messages}
        names = sorted(n for n in kept | self._presence.rooms() if n.startswith(prefix))
        names = names[bisect_right(names, after) :]
        return RoomPage([self._info(name) for name in names[:limit]], len(names) > limit)

    def _newest(self, room: str) -> Position:
        log = self._logs.get(room)
        return Position("", 0) if log is None else log.newest

    def _log(self, room: str) -> Log:
        log = self._logs.get(room)
        if log is None:
            self._sweep(self._now_ms())  # rooms that are only read would otherwise stay
            retention = retention_of(room, self._retention, self._rules)
            log = self._logs[room] = Log(self._epoch_of(room), retention)
        return log

    def _epoch_of(self, room: str) -> str:
        """Return the same epoch again for a room that was removed before it had any message."""
        digest = blake2b(room.encode(), key=self._epoch.encode(), digest_size=9).digest()
        return urlsafe_b64encode(digest).decode()

    def _forget_if_empty(self, room: str) -> None:
        log = self._logs.get(room)
        if log is not None and log.is_empty and room not in self._subscribed:
            del self._logs[room]
            if log.newest.offset:  # offsets must not restart within an epoch
                self._epoch = new_epoch()

    def _sweep(self, now_ms: int) -> None:
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for name, log in list(self._logs.items()):
                log.expire(now_ms)
                self._forget_if_empty(name)

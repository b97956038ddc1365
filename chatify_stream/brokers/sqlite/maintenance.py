"""What is deleted, and when: a little at a time, between what is published.

Rules: what a room does not keep any more is never read, and is deleted later: what exceeds its
number within a second of a publication, once it is a tenth of that number, or else together with
what is too old, within a minute or two, as are the ids that are too old. A room that has neither
messages nor ids, and is not subscribed to, is removed. No step takes longer than some tens of
milliseconds.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Container, Iterable

from ...rooms import WINDOW_MS
from .errors import DamagedError
from .pages import first_kept, read_message
from .room_index import Catalog, Changes, Room

__all__ = ["Upkeep"]

log = logging.getLogger(__name__)

LARGEST_STEP = 10_000
"""Rows that go in one transaction. A room that is looked at counts, too."""

LOOK = 20
"""What a look into the file counts."""

OFTEN_MS = 1_000
SELDOM_MS = 60_000

_FIRST_ID = "SELECT number FROM ids WHERE sent_at_ms > ? ORDER BY number LIMIT 1"


class Upkeep:
    """Plans the transactions that delete."""

    def __init__(
        self,
        catalog: Catalog,
        connection: sqlite3.Connection,
        subscribed: Container[str],
        now_ms: int,
    ) -> None:
        self._catalog = catalog
        self._connection = connection
        self._subscribed = subscribed
        self._looked_often_ms = self._looked_seldom_ms = now_ms
        self._used: set[str] = set()
        self._to_look_at: deque[str] = deque()
        self._has_old_ids = False

    def used(self, names: Iterable[str]) -> None:
        """Something was published in these rooms."""
        self._used.update(names)

    @property
    def pause(self) -> float:
        """Seconds after which to ask for the next step, unless something is used before."""
        if self._to_look_at or self._has_old_ids:
            return 0.0
        return (OFTEN_MS if self._used else SELDOM_MS) / 1000

    def give_up(self) -> None:
        """Ends what has begun, until it is time again."""
        self._to_look_at.clear()
        self._has_old_ids = False

    def next_step(self, now_ms: int) -> Changes | None:
        """What to delete now; None when there is nothing. Raises `sqlite3.Error`."""
        self._begin(now_ms)
        changes = self._catalog.changes()
        rest = LARGEST_STEP
        if self._has_old_ids:
            rest -= self._forget_ids(changes, now_ms, rest)
        while self._to_look_at and rest > 0:
            room = self._catalog.rooms.get(self._to_look_at.popleft())
            if room is not None:
                rest -= self._look_at(room, changes, now_ms, rest)
        has_forgotten = changes.first_id != self._catalog.state.first_id
        return changes if has_forgotten or changes.rows or changes.removed else None

    def _begin(self, now_ms: int) -> None:
        if not 0 <= now_ms - self._looked_often_ms < OFTEN_MS and self._used:
            self._looked_often_ms = now_ms
            self._to_look_at.extend(self._used)
            self._used.clear()
            self._has_old_ids = True
        if not 0 <= now_ms - self._looked_seldom_ms < SELDOM_MS:
            self._looked_seldom_ms = now_ms
            self._to_look_at = deque(self._catalog.rooms)
            self._has_old_ids = True

    def _forget_ids(self, changes: Changes, now_ms: int, most: int) -> int:
        """Returns how many go."""
        state = self._catalog.state
        found = self._connection.execute(_FIRST_ID, (now_ms - WINDOW_MS,)).fetchone()
        first = state.next_id if found is None else found[0]
        changes.first_id = min(first, state.first_id + most)
        self._has_old_ids = changes.first_id < first
        return changes.first_id - state.first_id

    def _look_at(self, room: Room, changes: Changes, now_ms: int, most: int) -> int:
        """Returns what it counts."""
        row, name = room.row, room.row.name
        room.dedupe.forget(now_ms)
        if row.oldest > row.newest and not room.dedupe and name not in self._subscribed:
            changes.removed.append(room)
            return 1
        cost = 1
        oldest = row.newest + 1 - room.retention.count
        if oldest - row.oldest < max(1, room.retention.count // 10):
            oldest = row.oldest
        if row.oldest <= row.newest and now_ms >= room.look_ms:
            cost += LOOK
            try:
                oldest = self._look_into(room, now_ms)
            except DamagedError as error:
                log.warning("nothing of the room %r is deleted, since %s", name, error)
                return cost
        if oldest - row.oldest > most:
            oldest = row.oldest + most
            room.look_ms = 0.0
            self._to_look_at.appendleft(name)
        if oldest > row.oldest:
            changes.rooms[name] = room
            changes.rows[name] = row._replace(oldest=oldest)
            changes.trimmed.append(changes.rows[name])
        return cost + oldest - row.oldest

    def _look_into(self, room: Room, now_ms: int) -> int:
        """The offset of the oldest message that is kept."""
        oldest = first_kept(self._connection, room.row, room.retention, now_ms)
        due_ms = 0.0
        if oldest <= room.row.newest:
            message = read_message(self._connection, room.row, oldest)
            due_ms = message.sent_at_ms + room.retention.age * 1000
        room.look_ms = max(due_ms, now_ms + SELDOM_MS)
        return oldest

"""Deletes expired messages and ids, a few at a time, between publications.

Expired messages are never read, and are deleted later. Messages beyond a room's count limit are
deleted within a second of a publication once they exceed a tenth of the limit. All other expired
messages and ids are deleted within a minute or two. A room without messages, ids and subscription
is removed. No step takes longer than some tens of milliseconds.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from ...rooms import WINDOW_MS
from .errors import DamagedError
from .pages import first_kept, read_message
from .room_index import Changes, Room, RoomIndex

log = logging.getLogger(__name__)

MAX_STEP = 10_000
"""Maximum cost of a transaction. Each deleted row and each examined room costs 1."""

READ_COST = 20
"""Additional cost of reading from the file."""

USED_SCAN_MS = 1_000
FULL_SCAN_MS = 60_000

_FIRST_ID = "SELECT number FROM ids WHERE sent_at_ms > ? ORDER BY number LIMIT 1"


@dataclass(eq=False, repr=False)
class Maintenance:
    _index: RoomIndex
    _connection: sqlite3.Connection
    _subscribed: Container[str]
    _full_scan_ms: int
    _used: set[str] = field(default_factory=set)
    _queue: deque[str] = field(default_factory=deque)
    _has_old_ids: bool = False

    def __post_init__(self) -> None:
        self._used_scan_ms = self._full_scan_ms

    def mark_used(self, names: Iterable[str]) -> None:
        self._used.update(names)

    @property
    def pause(self) -> float:
        """Seconds until the next step is due, unless rooms are used before."""
        if self._queue or self._has_old_ids:
            return 0.0
        return (USED_SCAN_MS if self._used else FULL_SCAN_MS) / 1000

    def abandon(self) -> None:
        """Drop the current scan; the next one starts on schedule."""
        self._queue.clear()
        self._has_old_ids = False

    def next_step(self, now_ms: int) -> Changes | None:
        """Return the rows to delete now, or None. Raises `sqlite3.Error`."""
        self._start_due_scans(now_ms)
        changes = self._index.changes()
        rest = MAX_STEP
        if self._has_old_ids:
            rest -= self._forget_ids(changes, now_ms, rest)
        while self._queue and rest > 0:
            room = self._index.rooms.get(self._queue.popleft())
            if room is not None:
                rest -= self._examine(room, changes, now_ms, rest)
        forgets_ids = changes.first_id != self._index.state.first_id
        return changes if forgets_ids or changes.rows or changes.removed else None

    def _start_due_scans(self, now_ms: int) -> None:
        if not 0 <= now_ms - self._used_scan_ms < USED_SCAN_MS and self._used:
            self._used_scan_ms = now_ms
            self._queue.extend(self._used)
            self._used.clear()
            self._has_old_ids = True
        if not 0 <= now_ms - self._full_scan_ms < FULL_SCAN_MS:
            self._full_scan_ms = now_ms
            self._queue = deque(self._index.rooms)
            self._has_old_ids = True

    def _forget_ids(self, changes: Changes, now_ms: int, budget: int) -> int:
        """Plan to delete expired ids; return their number."""
        state = self._index.state
        found = self._connection.execute(_FIRST_ID, (now_ms - WINDOW_MS,)).fetchone()
        first = state.next_id if found is None else found[0]
        changes.first_id = min(first, state.first_id + budget)
        self._has_old_ids = changes.first_id < first
        return changes.first_id - state.first_id

    def _examine(self, room: Room, changes: Changes, now_ms: int, budget: int) -> int:
        """Plan to delete the room's expired messages; return the cost."""
        row, name = room.row, room.row.name
        room.dedupe.forget(now_ms)
        if row.oldest > row.newest and not room.dedupe and name not in self._subscribed:
            changes.removed.append(room)
            return 1
        cost = 1
        oldest = row.newest + 1 - room.retention.count
        if oldest - row.oldest < max(1, room.retention.count // 10):
            oldest = row.oldest
        if row.oldest <= row.newest and now_ms >= room.due_ms:
            cost += READ_COST
            try:
                oldest = self._find_oldest(room, now_ms)
            except DamagedError as error:
                log.warning("cannot delete expired messages of the room %r: %s", name, error)
                return cost
        if oldest - row.oldest > budget:
            oldest = row.oldest + budget
            room.due_ms = 0.0
            self._queue.appendleft(name)
        if oldest > row.oldest:
            changes.rooms[name] = room
            changes.rows[name] = row._replace(oldest=oldest)
            changes.trimmed.append(changes.rows[name])
        return cost + oldest - row.oldest

    def _find_oldest(self, room: Room, now_ms: int) -> int:
        oldest = first_kept(self._connection, room.row, room.retention, now_ms)
        expires_ms = 0.0
        if oldest <= room.row.newest:
            message = read_message(self._connection, room.row, oldest)
            expires_ms = message.sent_at_ms + room.retention.age * 1000
        room.due_ms = max(expires_ms, now_ms + FULL_SCAN_MS)
        return oldest

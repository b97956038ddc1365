"""The broker's in-memory index of its database: all rooms, without their messages. No I/O.

The index holds committed state only. Only the writer thread changes it. Other threads may look up
a room and take its row; rows are replaced, never modified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...rooms import Dedupe, DedupeEntry, Retention, RetentionRule, retention_of
from ...rooms.position import Position
from .errors import DamagedError
from .schema import IdRow, MessageRow, RoomRow, StateRow, seal

__all__ = ["Changes", "Room", "RoomIndex"]


@dataclass(slots=True, eq=False)
class Room:
    """A room: its row and the state that is not stored in the row."""

    row: RoomRow
    retention: Retention
    dedupe: Dedupe = field(default_factory=Dedupe)
    due_ms: float = 0.0
    """Unix time in ms at which its oldest message expires; 0 if unknown."""

    @property
    def newest(self) -> Position:
        return Position(self.row.epoch, self.row.newest)

    def keeps_messages(self, now_ms: int) -> bool:
        """Return whether any message is within the retention."""
        row, retention = self.row, self.retention
        oldest = max(row.oldest, row.newest + 1 - retention.count)
        return oldest <= row.newest and row.latest_ms > now_ms - retention.age * 1000


@dataclass
class Changes:
    """The rows that one transaction writes."""

    next_room: int
    """Value after the transaction."""
    first_id: int
    """Value after the transaction; smaller ids are deleted."""
    rooms: dict[str, Room] = field(default_factory=dict)
    """Changed rooms by name."""
    rows: dict[str, RoomRow] = field(default_factory=dict)
    """New rows of the changed rooms by name."""
    messages: list[MessageRow] = field(default_factory=list)
    ids: list[IdRow] = field(default_factory=list)
    trimmed: list[RoomRow] = field(default_factory=list)
    """Rooms whose messages before `oldest` are deleted."""
    removed: list[Room] = field(default_factory=list)
    """Rooms without messages that are deleted."""


class RoomIndex:
    """Indexes the rooms of a database."""

    def __init__(
        self, state: StateRow, retention: Retention, rules: Sequence[RetentionRule] = ()
    ) -> None:
        """Start without rooms. `retention` applies to rooms that match none of `rules`."""
        self.state = state
        self.rooms: dict[str, Room] = {}
        self._retention = retention
        self._rules = tuple(rules)

    def load(self, rooms: Sequence[RoomRow], ids: Sequence[IdRow]) -> None:
        """Load the rows of the database. Raises `DamagedError` if rows are missing."""
        self.rooms = {row.name: self.new_room(row) for row in rooms}
        if (len(self.rooms), _sum(0, map(seal, rooms))) != (self.state.rooms, self.state.digest):
            raise DamagedError("rooms are missing or out of date")
        if [row.number for row in ids] != list(range(self.state.first_id, self.state.next_id)):
            raise DamagedError("ids are missing")
        by_number = {room.row.number: room for room in self.rooms.values()}
        for row in ids:
            if row.room in by_number:  # a room may be removed before its ids
                known = DedupeEntry(row.offset, row.sent_at_ms, row.fingerprint)
                by_number[row.room].dedupe.restore(row.user, row.id, known)

    def new_room(self, row: RoomRow) -> Room:
        """Return a new room that is not in the index yet."""
        return Room(row, retention_of(row.name, self._retention, self._rules))

    def changes(self) -> Changes:
        """Return an empty set of changes."""
        return Changes(self.state.next_room, self.state.first_id)

    def state_after(self, changes: Changes) -> StateRow:
        """Return the state row to write with `changes`."""
        state = self.state
        known = [room for name, room in changes.rooms.items() if name in self.rooms]
        gone = [room.row for room in [*known, *changes.removed]]
        digest = _sum(state.digest, map(seal, changes.rows.values()))
        digest = _sum(digest, (-seal(row) for row in gone))
        return state._replace(
            sequence=state.sequence + 1,
            next_room=changes.next_room,
            rooms=state.rooms + len(changes.rooms) - len(gone),
            digest=digest,
            first_id=changes.first_id,
            next_id=state.next_id + len(changes.ids),
        )

    def accept(self, changes: Changes, state: StateRow) -> None:
        """Apply committed changes."""
        self.state = state
        for name, row in changes.rows.items():
            changes.rooms[name].row = row
        self.rooms.update(changes.rooms)
        for room in changes.removed:
            del self.rooms[room.row.name]


def _sum(first: int, others: Iterable[int]) -> int:
    return (first + sum(others)) % 2**63

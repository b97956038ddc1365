"""What the broker keeps in memory of its database: the rooms, without their messages. No I/O.

Rules: it holds what is committed, and nothing else. One thread changes it, that which writes; any
other may look up a room and take its row, which is replaced and never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...rooms import Dedupe, Known, Retention, RetentionRule, retention_of
from ...rooms.position import Position
from .errors import DamagedError
from .rows import IdRow, MessageRow, RoomRow, StateRow, seal

__all__ = ["Catalog", "Changes", "Room"]


class Room:
    """A room: its row, and what does not stand in it."""

    __slots__ = ("dedupe", "look_ms", "retention", "row")

    def __init__(self, row: RoomRow, retention: Retention) -> None:
        self.row = row
        self.retention = retention
        self.dedupe = Dedupe()
        self.look_ms = 0.0
        """When its oldest message may be too old; 0 when that is not known."""

    @property
    def newest(self) -> Position:
        return Position(self.row.epoch, self.row.newest)

    def keeps_messages(self, now_ms: int) -> bool:
        """One at the least is within its retention."""
        row, retention = self.row, self.retention
        oldest = max(row.oldest, row.newest + 1 - retention.count)
        return oldest <= row.newest and row.latest_ms > now_ms - retention.age * 1000


@dataclass
class Changes:
    """What one transaction writes."""

    next_room: int
    """As it is after it."""
    first_id: int
    """As it is after it; the ids before it go."""
    rooms: dict[str, Room] = field(default_factory=dict)
    """Those whose rows change, by name."""
    rows: dict[str, RoomRow] = field(default_factory=dict)
    """Their new rows, by name."""
    messages: list[MessageRow] = field(default_factory=list)
    ids: list[IdRow] = field(default_factory=list)
    trimmed: list[RoomRow] = field(default_factory=list)
    """Rooms whose messages before their oldest go."""
    removed: list[Room] = field(default_factory=list)
    """Rooms without messages that go."""


class Catalog:
    """The rooms of a database."""

    def __init__(
        self, state: StateRow, retention: Retention, rules: Sequence[RetentionRule] = ()
    ) -> None:
        """`rules` are for rooms of certain names."""
        self.state = state
        self.rooms: dict[str, Room] = {}
        self._retention = retention
        self._rules = tuple(rules)

    def load(self, rooms: Sequence[RoomRow], ids: Sequence[IdRow]) -> None:
        """Takes what was read from the database. Raises `DamagedError` when it is not all there."""
        self.rooms = {row.name: self.new_room(row) for row in rooms}
        if (len(self.rooms), _sum(0, map(seal, rooms))) != (self.state.rooms, self.state.digest):
            raise DamagedError("rooms are missing, or are not as they were last")
        if [row.number for row in ids] != list(range(self.state.first_id, self.state.next_id)):
            raise DamagedError("ids are missing")
        by_number = {room.row.number: room for room in self.rooms.values()}
        for row in ids:
            if row.room in by_number:  # it may have been removed before its ids were
                known = Known(row.offset, row.sent_at_ms, row.fingerprint)
                by_number[row.room].dedupe.restore(row.user, row.id, known)

    def new_room(self, row: RoomRow) -> Room:
        """A room that is not in it yet."""
        return Room(row, retention_of(row.name, self._retention, self._rules))

    def changes(self) -> Changes:
        """None yet."""
        return Changes(self.state.next_room, self.state.first_id)

    def state_after(self, changes: Changes) -> StateRow:
        """What is to be written with them."""
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
        """They were committed."""
        self.state = state
        for name, row in changes.rows.items():
            changes.rooms[name].row = row
        self.rooms.update(changes.rooms)
        for room in changes.removed:
            del self.rooms[room.row.name]


def _sum(first: int, others: Iterable[int]) -> int:
    return (first + sum(others)) % 2**63

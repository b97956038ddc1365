"""The in-memory index of all rooms, without their messages, and the batches that change it. No I/O.

The index holds committed state only. Only the writer thread changes it. Other threads may look up
a room and take its row; rows are replaced, never modified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...rooms import (
    Dedupe,
    DedupeEntry,
    Draft,
    Publication,
    Receipt,
    Retention,
    RetentionRule,
    append,
    retention_of,
)
from ...rooms.position import Position, new_epoch
from ..base import Subscriber
from .errors import DamagedError
from .schema import IdRow, MessageRow, RoomRow, StateRow, seal


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
    rows: dict[str, RoomRow] = field(default_factory=dict)
    """New rows of the changed rooms by name."""
    messages: list[MessageRow] = field(default_factory=list)
    ids: list[IdRow] = field(default_factory=list)
    trimmed: list[RoomRow] = field(default_factory=list)
    """Rooms whose messages before `oldest` are deleted."""
    removed: list[Room] = field(default_factory=list)
    """Rooms without messages that are deleted."""


class RoomIndex:
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
                by_number[row.room].dedupe[row.user, row.id] = known

    def new_room(self, row: RoomRow) -> Room:
        """Return a new room that is not in the index yet."""
        return Room(row, retention_of(row.name, self._retention, self._rules))

    def changes(self) -> Changes:
        return Changes(self.state.next_room, self.state.first_id)

    def state_after(self, changes: Changes) -> StateRow:
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
        self.state = state
        for name, row in changes.rows.items():
            changes.rooms[name].row = row
        self.rooms.update(changes.rooms)
        for room in changes.removed:
            del self.rooms[room.row.name]


def _sum(first: int, others: Iterable[int]) -> int:
    return (first + sum(others)) % 2**63


class Batch:
    """One transaction, and the notifications that follow its commit.

    Requests are decided in their order, before anything is written. Until the batch is committed,
    the index does not change and the subscriber is not notified. Otherwise the batch is undone.
    """

    def __init__(
        self, index: RoomIndex, subscribed: set[str], subscriber: Subscriber, now_ms: int
    ) -> None:
        """Start an empty batch. It updates `subscribed`, the rooms to report, immediately."""
        self._index = index
        self._subscribed = subscribed
        self._subscriber = subscriber
        self._now_ms = now_ms
        self._unsent: dict[str, list[Publication]] = {}
        self._undo: list[Callable[[], object]] = []
        self.changes = index.changes()
        self.notifications: list[Callable[[], None]] = []
        """Functions to call in this order after the commit."""

    @property
    def writes(self) -> bool:
        return bool(self.changes.rows)

    def create(self, name: str) -> Room:
        return self._room(name)[0]

    def publish(self, name: str, drafts: Sequence[Draft]) -> list[Receipt]:
        room, row = self._room(name)
        dedupe, changes = room.dedupe, self.changes
        dedupe.forget(self._now_ms)
        keys = ((draft.user, draft.id) for draft in drafts)
        self._undo.append(partial(dedupe.remove, [key for key in keys if key not in dedupe]))
        newest, receipts, added = append(Position(row.epoch, row.newest), drafts, dedupe)
        if not added:
            return receipts
        latest_ms = max(row.latest_ms, *(each.sent_at_ms for each in added))
        changes.rooms[name] = room
        changes.rows[name] = row._replace(newest=newest.offset, latest_ms=latest_ms)
        for each in added:
            changes.messages.append(MessageRow(row.number, *each))
            if each.id:
                known = dedupe[each.user, each.id]
                number = self._index.state.next_id + len(changes.ids)
                changes.ids.append(IdRow(number, row.number, each.user, each.id, *known))
        self._notify(name, added)
        return receipts

    def subscribe(self, name: str) -> None:
        """Report publications from here on."""
        _, row = self._room(name)
        if name not in self._subscribed:
            self._subscribed.add(name)
            self._undo.append(partial(self._subscribed.remove, name))
        self._unsent.pop(name, None)
        position = Position(row.epoch, row.newest)
        self.notifications.append(partial(self._subscriber.begins_at, name, position))

    def unsubscribe(self, name: str) -> None:
        """Stop reporting publications from here on."""
        self._unsent.pop(name, None)
        if name in self._subscribed:
            self._subscribed.remove(name)
            self._undo.append(partial(self._subscribed.add, name))

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _room(self, name: str) -> tuple[Room, RoomRow]:
        """Return the room and its current row, including changes in this batch."""
        changes = self.changes
        if name in changes.rows:
            return changes.rooms[name], changes.rows[name]
        room = self._index.rooms.get(name)
        if room is None:
            row = RoomRow(changes.next_room, name, new_epoch(), newest=0, oldest=1, latest_ms=0)
            changes.next_room += 1
            room = changes.rooms[name] = self._index.new_room(row)
            changes.rows[name] = row
        return room, room.row

    def _notify(self, name: str, added: list[Publication]) -> None:
        """Report consecutive publications of a room in one call."""
        if name in self._unsent:
            self._unsent[name] += added
        elif name in self._subscribed:
            self._unsent[name] = added
            self.notifications.append(partial(self._subscriber.published, name, added))

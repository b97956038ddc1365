"""Decide the outcome of all waiting requests before anything is written. No I/O.

Requests are decided in their order. Until the batch is committed, the index does not change and
the subscriber is not notified. A batch that is not committed is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...rooms import Draft, Publication, Receipt, append
from ...rooms.position import Position, new_epoch
from ..base import Subscriber
from .room_index import Room, RoomIndex
from .schema import IdRow, MessageRow, RoomRow

__all__ = ["Batch"]


class Batch:
    """One transaction, and the notifications that follow its commit."""

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
        """Whether there is anything to commit."""
        return bool(self.changes.rows)

    def create(self, name: str) -> Room:
        """Return the room, creating it if needed."""
        return self._room(name)[0]

    def publish(self, name: str, drafts: Sequence[Draft]) -> list[Receipt]:
        """Return the result of `Broker.publish`."""
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
        """Undo the batch, which was not committed."""
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

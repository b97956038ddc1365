"""What becomes of all that was asked for by now, decided before it is written. No I/O.

Rules: what was asked for first is decided first. Nothing of it is in the catalog, and nobody is
told of it, before it was committed; a batch that was not committed is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...rooms import Draft, Publication, Receipt, append
from ...rooms.position import Position, new_epoch
from ..base import Subscriber
from .room_index import Catalog, Room
from .rows import IdRow, MessageRow, RoomRow

__all__ = ["Batch"]


class Batch:
    """One transaction, and what is told once it was committed."""

    def __init__(
        self, catalog: Catalog, subscribed: set[str], subscriber: Subscriber, now_ms: int
    ) -> None:
        """`subscribed` are the rooms that are told of; the batch changes it at once."""
        self._catalog = catalog
        self._subscribed = subscribed
        self._subscriber = subscriber
        self._now_ms = now_ms
        self._told: dict[str, list[Publication]] = {}
        self._undo: list[Callable[[], object]] = []
        self.changes = catalog.changes()
        self.tells: list[Callable[[], None]] = []
        """To be called in their order."""

    @property
    def writes(self) -> bool:
        """There is something to be committed."""
        return bool(self.changes.rows)

    def create(self, name: str) -> Room:
        """The room, which is there from now on."""
        room, _ = self._room(name)
        return room

    def publish(self, name: str, drafts: Sequence[Draft]) -> list[Receipt]:
        """What a broker's `publish` gives."""
        room, row = self._room(name)
        dedupe, changes = room.dedupe, self.changes
        dedupe.forget(self._now_ms)
        keys = ((draft.user, draft.id) for draft in drafts)
        self._undo.append(partial(dedupe.take_back, [key for key in keys if key not in dedupe]))
        newest, receipts, added = append(Position(row.epoch, row.newest), drafts, dedupe)
        if not added:
            return receipts
        latest_ms = max(row.latest_ms, *(each.sent_at_ms for each in added))
        changes.rooms[name] = room
        changes.rows[name] = row._replace(newest=newest.offset, latest_ms=latest_ms)
        for each in added:
            changes.messages.append(MessageRow.of(row.number, each))
            if each.id:
                known = dedupe[each.user, each.id]
                number = self._catalog.state.next_id + len(changes.ids)
                changes.ids.append(IdRow.of(number, row.number, each.user, each.id, known))
        self._tell(name, added)
        return receipts

    def subscribe(self, name: str) -> None:
        """What is published after it is told."""
        _, row = self._room(name)
        if name not in self._subscribed:
            self._subscribed.add(name)
            self._undo.append(partial(self._subscribed.remove, name))
        self._told.pop(name, None)
        position = Position(row.epoch, row.newest)
        self.tells.append(partial(self._subscriber.begins_at, name, position))

    def unsubscribe(self, name: str) -> None:
        """What is published after it is not told."""
        self._told.pop(name, None)
        if name in self._subscribed:
            self._subscribed.remove(name)
            self._undo.append(partial(self._subscribed.add, name))

    def undo(self) -> None:
        """It was not committed."""
        while self._undo:
            self._undo.pop()()

    def _room(self, name: str) -> tuple[Room, RoomRow]:
        """The room and its row as it is by now."""
        changes = self.changes
        if name in changes.rows:
            return changes.rooms[name], changes.rows[name]
        room = self._catalog.rooms.get(name)
        if room is None:
            row = RoomRow(changes.next_room, name, new_epoch(), newest=0, oldest=1, latest_ms=0)
            changes.next_room += 1
            room = changes.rooms[name] = self._catalog.new_room(row)
            changes.rows[name] = row
        return room, room.row

    def _tell(self, name: str, added: list[Publication]) -> None:
        """What follows each other in a room is told together."""
        if name in self._told:
            self._told[name] += added
        elif name in self._subscribed:
            self._told[name] = added
            self.tells.append(partial(self._subscriber.published, name, added))

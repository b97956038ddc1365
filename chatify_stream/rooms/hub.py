"""The rooms of one node, as its broker tells of them. No I/O.

Rules: a room is there while somebody holds it: members, and sessions that catch up; and then until
it is forgotten, so that it need not begin anew for whoever comes meanwhile. What comes for another
room is for nobody here. The first message that waits in a room asks for a flush; whoever made the
hub flushes the room soon, so that what is published meanwhile goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .position import Position
from .publication import Publication
from .room import Room

__all__ = ["Hub"]


class Hub:
    """What a broker calls a subscriber."""

    def __init__(self, flush_soon: Callable[[Room], None]) -> None:
        """`flush_soon` arranges for `Room.flush` to be called in the next turn of the loop."""
        self._flush_soon = flush_soon
        self._rooms: dict[str, Room] = {}
        self._deliveries = 0  # in the rooms that are forgotten

    def __len__(self) -> int:
        return len(self._rooms)

    def hold(self, name: str) -> Room:
        """The room, until `release`."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
        room.sessions += 1
        return room

    def release(self, room: Room) -> bool:
        """Gives up the room; True when nobody holds it any more."""
        room.sessions -= 1
        return not room.sessions

    def forget(self, room: Room) -> bool:
        """Forgets a room that nobody holds; False when somebody does, or it was forgotten."""
        if room.sessions or self._rooms.get(room.name) is not room:
            return False
        self._deliveries += room.deliveries
        del self._rooms[room.name]
        return True

    @property
    def deliveries(self) -> int:
        """Messages times the members that they were given to."""
        return self._deliveries + sum(room.deliveries for room in self._rooms.values())

    def begins_at(self, room: str, position: Position) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.begin(position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        held = self._rooms.get(room)
        if held is None or held.position is None:
            return
        if held.add(publications):
            self._flush_soon(held)

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.presence_changed(user, joined)

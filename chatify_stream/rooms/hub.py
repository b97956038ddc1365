"""The rooms that have sessions on this server. No I/O.

Members, and sessions that catch up, hold a room. A room that nobody holds stays until the owner of
the hub forgets it, so that a session which joins in the meantime finds it ready. Events of other
rooms are dropped.

The first message that waits in a room requests a flush. The owner flushes the room a little later,
so that one flush delivers all messages published until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .position import Position
from .publication import Publication
from .room import Room


class Hub:
    """The broker's `Subscriber` on this server."""

    def __init__(self, flush_soon: Callable[[Room], None]) -> None:
        """`flush_soon` arranges for `Room.flush` to be called in the next turn of the loop."""
        self._flush_soon = flush_soon
        self._rooms: dict[str, Room] = {}
        self._deliveries = 0  # of forgotten rooms

    def __len__(self) -> int:
        return len(self._rooms)

    def hold(self, name: str) -> Room:
        """Return a room and hold it until `release`."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
        room.sessions += 1
        return room

    def release(self, room: Room) -> bool:
        """Release a room. Return True if nobody holds it now."""
        room.sessions -= 1
        return not room.sessions

    def forget(self, room: Room) -> bool:
        """Forget a room. Return False if it is held, or was forgotten before."""
        if room.sessions or self._rooms.get(room.name) is not room:
            return False
        self._deliveries += room.deliveries
        del self._rooms[room.name]
        return True

    @property
    def deliveries(self) -> int:
        """Total of messages, each multiplied by the members that received it."""
        return self._deliveries + sum(room.deliveries for room in self._rooms.values())

    def begins_at(self, room: str, position: Position) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.begin(position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        held = self._rooms.get(room)
        if held is not None and held.position is not None and held.add(publications):
            self._flush_soon(held)

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.presence_changed(user, joined)

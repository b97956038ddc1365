"""The rooms of one node, as its broker tells of them. No I/O.

Rules: a room is there while somebody holds it: members, and sessions that catch up. What comes for
a room that nobody holds is for nobody here. The first message that waits in a room asks for a
flush; whoever made the hub flushes the room soon, so that what is published meanwhile goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..position import Position
from .publication import Publication
from .room import Room

__all__ = ["Hub"]


class Hub:
    """What a broker calls a subscriber."""

    def __init__(
        self,
        encode: Callable[[Publication], bytes],
        encode_presence: Callable[[str, bool], bytes],
        flush_soon: Callable[[Room], None],
    ) -> None:
        """How messages, and joins (True) and leaves of a user, go on the wire."""
        self._encode = encode
        self._encode_presence = encode_presence
        self._flush_soon = flush_soon
        self._rooms: dict[str, Room] = {}

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
        if room.sessions:
            return False
        del self._rooms[room.name]
        return True

    def begins_at(self, room: str, position: Position) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.begin(position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        held = self._rooms.get(room)
        if held is None or held.position is None:
            return
        if held.add([self._encode(publication) for publication in publications]):
            self._flush_soon(held)

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        if (held := self._rooms.get(room)) is not None:
            held.tell(user, self._encode_presence(user, joined))

"""The rows of the database, each with a seal: a checksum of all its fields.

SQLite has no checksums of its own outside its write-ahead log. A row that is not as it was written
fails its seal; rows that are missing leave a hole in numbers that have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from ...rooms import Known, Publication
from .errors import DamagedError

__all__ = ["IdRow", "MessageRow", "RoomRow", "StateRow", "seal"]


def seal(fields: Sequence[object]) -> int:
    """64 bits with a sign."""
    text = "\0".join(map(str, fields)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


class StateRow(NamedTuple):
    """What is true of the whole database. There is one."""

    identity: str
    """Random; that of another database is another one."""
    sequence: int
    """How many transactions there were; the first one made the tables."""
    next_room: int
    """The number of the next new room. None is used twice."""
    rooms: int
    """How many there are."""
    digest: int
    """The sum of the rooms' seals, 63 bits: a room that is missing or stale changes it."""
    first_id: int
    """The number of the oldest id."""
    next_id: int
    """The number of the next id."""

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Of what was read. Raises `DamagedError`."""
        state = cls(*row[:-1])
        if row[-1] != seal(state):
            raise DamagedError("what it says of itself was changed")
        return state


class RoomRow(NamedTuple):
    """A room. Its messages from `oldest` to `newest` are in the database, all of them."""

    number: int
    name: str
    epoch: str
    newest: int
    oldest: int
    latest_ms: int
    """When the latest message was sent; 0 when none was."""

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Of what was read. Raises `DamagedError`."""
        room = cls(*row[:-1])
        if row[-1] != seal(room):
            raise DamagedError(f"room {room.number} was changed")
        return room


class MessageRow(NamedTuple):
    """A message."""

    room: int
    offset: int
    user: str
    text: str
    id: str
    sent_at_ms: int
    seal: int

    @classmethod
    def of(cls, room: int, publication: Publication) -> Self:
        return cls(room, *publication, seal((room, *publication)))


class IdRow(NamedTuple):
    """An id that was published lately. Their numbers have no hole."""

    number: int
    room: int
    user: str
    id: str
    offset: int
    sent_at_ms: int
    fingerprint: int
    seal: int

    @classmethod
    def of(cls, number: int, room: int, user: str, message_id: str, known: Known) -> Self:
        fields = (number, room, user, message_id, *known)
        return cls(*fields, seal(fields))

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Of what was read. Raises `DamagedError`."""
        if row[-1] != seal(row[:-1]):
            raise DamagedError(f"the id {row[0]} was changed")
        return cls(*row)

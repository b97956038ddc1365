"""The rows of the database, each with a seal: a checksum of all its fields.

SQLite has no checksums outside its write-ahead log. The seal reveals a row that was changed, and
gaps in gapless numbers reveal rows that are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from ...rooms import DedupeEntry, Publication
from .errors import DamagedError

__all__ = ["IdRow", "MessageRow", "RoomRow", "StateRow", "seal"]


def seal(fields: Sequence[object]) -> int:
    """Return the checksum of a row: 64 bits, signed."""
    text = "\0".join(map(str, fields)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


class StateRow(NamedTuple):
    """The state of the whole database; the table has exactly one row."""

    identity: str
    """Random; differs between databases."""
    sequence: int
    """Number of transactions so far; the first one created the tables."""
    next_room: int
    """Number of the next new room. Numbers are never reused."""
    rooms: int
    """Number of rooms."""
    digest: int
    """Sum of the rooms' seals, 63 bits; reveals a room that is missing or out of date."""
    first_id: int
    """Number of the oldest id."""
    next_id: int
    """Number of the next id."""

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Return the row without its seal. Raises `DamagedError`."""
        state = cls(*row[:-1])
        if row[-1] != seal(state):
            raise DamagedError("the state row was changed")
        return state


class RoomRow(NamedTuple):
    """A room. All messages from `oldest` to `newest` are in the database."""

    number: int
    name: str
    epoch: str
    newest: int
    oldest: int
    latest_ms: int
    """Unix time of the latest message; 0 if there was none."""

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Return the row without its seal. Raises `DamagedError`."""
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
    """A recently published id. Numbers are gapless."""

    number: int
    room: int
    user: str
    id: str
    offset: int
    sent_at_ms: int
    fingerprint: int
    seal: int

    @classmethod
    def of(cls, number: int, room: int, user: str, message_id: str, known: DedupeEntry) -> Self:
        fields = (number, room, user, message_id, *known)
        return cls(*fields, seal(fields))

    @classmethod
    def checked(cls, row: Sequence[Any]) -> Self:
        """Return the row. Raises `DamagedError`."""
        if row[-1] != seal(row[:-1]):
            raise DamagedError(f"the id {row[0]} was changed")
        return cls(*row)

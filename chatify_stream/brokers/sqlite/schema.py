"""The tables of the database, their creation and their rows.

SQLite has no checksums outside its write-ahead log. Each stored row therefore ends with a seal, a
checksum of all its fields, which reveals a row that was changed. Gaps in gapless numbers reveal
rows that are missing.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from .errors import DamagedError

APPLICATION_ID = int.from_bytes(b"chat", "big")

VERSION = 1
"""Version of the tables. Opening a file of an older version will migrate it."""

_TABLES = """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), identity TEXT NOT NULL, sequence INTEGER NOT NULL,
    next_room INTEGER NOT NULL, rooms INTEGER NOT NULL, digest INTEGER NOT NULL,
    first_id INTEGER NOT NULL, next_id INTEGER NOT NULL, seal INTEGER NOT NULL
);
CREATE TABLE rooms (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, epoch TEXT NOT NULL, newest INTEGER NOT NULL,
    oldest INTEGER NOT NULL, latest_ms INTEGER NOT NULL, seal INTEGER NOT NULL
);
CREATE TABLE messages (
    room INTEGER NOT NULL, offset INTEGER NOT NULL, user TEXT NOT NULL, text TEXT NOT NULL,
    id TEXT NOT NULL, sent_at_ms INTEGER NOT NULL, seal INTEGER NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE TABLE ids (
    number INTEGER PRIMARY KEY, room INTEGER NOT NULL, user TEXT NOT NULL, id TEXT NOT NULL,
    offset INTEGER NOT NULL, sent_at_ms INTEGER NOT NULL, fingerprint INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
"""


class StateRow(NamedTuple):
    """The state of the whole database; the table has exactly one row."""

    identity: str
    """Random; differs between databases."""
    sequence: int
    """Number of transactions so far; the first one created the tables."""
    next_room: int
    """Number of the next new room. Numbers are never reused."""
    rooms: int
    digest: int
    """Sum of the rooms' seals, 63 bits; reveals a room that is missing or out of date."""
    first_id: int
    next_id: int


class RoomRow(NamedTuple):
    """A room. All messages from `oldest` to `newest` are in the database."""

    number: int
    name: str
    epoch: str
    newest: int
    oldest: int
    latest_ms: int
    """Unix time of the latest message; 0 if there was none."""


class MessageRow(NamedTuple):
    room: int
    offset: int
    user: str
    text: str
    id: str
    sent_at_ms: int


class IdRow(NamedTuple):
    """An id that was published recently. Numbers are gapless."""

    number: int
    room: int
    user: str
    id: str
    offset: int
    sent_at_ms: int
    fingerprint: int


Row = TypeVar("Row", StateRow, RoomRow, IdRow)


def seal(fields: Sequence[object]) -> int:
    """Return the checksum of a row: 64 bits, signed."""
    text = "\0".join(map(str, fields)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def sealed(row: Sequence[object]) -> tuple[object, ...]:
    return (*row, seal(row))


def checked(kind: type[Row], stored: Sequence[Any]) -> Row:
    """Return the row without its seal. Raises `DamagedError`."""
    *fields, expected = stored
    if seal(fields) != expected:
        name = {StateRow: "the state row", RoomRow: f"room {fields[0]}"}.get(kind)
        raise DamagedError(f"{name or f'the id {fields[0]}'} was changed")
    return kind(*fields)


def create(path: str) -> None:
    new = f"{path}-new"
    for leftover in (new, f"{new}-journal", f"{new}-wal", f"{new}-shm"):
        with suppress(FileNotFoundError):
            os.remove(leftover)
    state = StateRow(secrets.token_hex(8), 1, 1, 0, 0, 1, 1)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(
            f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
            f"{_TABLES} COMMIT;"
        )
        connection.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", sealed(state))
    os.replace(new, path)
    sync_folder(path)


def sync_folder(path: str) -> None:
    """Sync the folder of `path`, so that a new file survives a crash (POSIX only)."""
    if os.name == "posix":
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

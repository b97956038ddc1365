"""The tables: their creation and their version."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress

from .rows import StateRow, seal

__all__ = ["APPLICATION_ID", "VERSION", "create", "sync_folder"]

APPLICATION_ID = int.from_bytes(b"chat", "big")
"""Marks a database as belonging to this program."""

VERSION = 1
"""Version of the tables. Opening a file of an older version will migrate it."""

_TABLES = """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    next_room INTEGER NOT NULL,
    rooms INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    next_id INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE rooms (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    epoch TEXT NOT NULL,
    newest INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    latest_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE messages (
    room INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    user TEXT NOT NULL,
    text TEXT NOT NULL,
    id TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE TABLE ids (
    number INTEGER PRIMARY KEY,
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    offset INTEGER NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
"""


def create(path: str) -> None:
    """Create an empty database atomically."""
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
        connection.execute(
            "INSERT INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", (*state, seal(state))
        )
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

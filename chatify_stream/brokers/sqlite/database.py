"""The database, for the thread that writes: one transaction at a time, durable when it returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from .commit_marker import Mark
from .errors import DamagedError, UnusableError
from .room_index import Catalog, Changes
from .rows import StateRow, seal

__all__ = ["Database", "connect"]

BUSY_SECONDS = 5.0
"""How long another program may write."""

LARGEST_WAL = 64 * 1024 * 1024
"""Bytes that the write-ahead log keeps when it begins anew."""

LARGEST_CHUNK = 128
"""Rows of one statement: the oldest SQLite takes 999 values."""


def connect(path: str, options: str = "mode=rw") -> sqlite3.Connection:
    """It belongs to the thread that calls this. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?{options}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


class Database:
    """The connection that writes.

    Raises `UnusableError`, `DamagedError`, `sqlite3.Error` and `OSError`.
    """

    def __init__(self, path: str, mark: Mark) -> None:
        self._path = path
        self._mark = mark
        self._inode = os.stat(path).st_ino
        self.connection = connect(path)
        try:
            self._set_up()
        except BaseException:
            self.connection.close()
            raise

    def commit(self, catalog: Catalog, changes: Changes) -> None:
        """All of it or nothing; then the catalog has it, too."""
        self._check_that_files_are_there()
        state = catalog.state_after(changes)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._write_state(catalog.state, state)
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # which the next BEGIN would have, again
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            raise
        catalog.accept(changes, state)

    def confirm(self, state: StateRow) -> None:
        """Makes sure that it is noticed when what was committed is missing."""
        self._mark.write(state.sequence)

    def close(self) -> None:
        """Gives the lock back, too."""
        self.connection.close()
        self._mark.close()

    def _set_up(self) -> None:
        (mode,) = self.connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise UnusableError(
                "its file system has no shared memory, which SQLite needs; take a local disk"
            )
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("PRAGMA fullfsync=ON")  # which is for macOS
        self.connection.execute(f"PRAGMA journal_size_limit={LARGEST_WAL}")
        self.connection.execute("PRAGMA secure_delete=FAST")
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(
            "UPDATE state SET one = one"
        )  # which a file refuses that is read-only
        self.connection.execute("ROLLBACK")

    def _check_that_files_are_there(self) -> None:
        """SQLite would write on into a file that nobody can open any more."""
        try:
            is_there = os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            is_there = False
        if not is_there or not self._mark.is_there():
            raise UnusableError(
                "the file, or the -mark beside it, was removed or replaced while it was in use; "
                "put it back"
            )

    def _write(self, changes: Changes) -> None:
        execute = self.connection.execute
        self._put("INSERT INTO messages", changes.messages)
        self._put("INSERT INTO ids", changes.ids)
        self._put("REPLACE INTO rooms", [(*row, seal(row)) for row in changes.rows.values()])
        for row in changes.trimmed:
            execute("DELETE FROM messages WHERE room = ? AND offset < ?", (row.number, row.oldest))
        for room in changes.removed:
            execute("DELETE FROM rooms WHERE number = ?", (room.row.number,))

    def _write_state(self, before: StateRow, after: StateRow) -> None:
        execute = self.connection.execute
        if after.first_id != before.first_id:
            execute("DELETE FROM ids WHERE number < ?", (after.first_id,))
        written = execute(
            "UPDATE state SET identity = ?, sequence = ?, next_room = ?, rooms = ?, digest = ?, "
            "first_id = ?, next_id = ?, seal = ? WHERE sequence = ?",
            (*after, seal(after), before.sequence),
        )
        if written.rowcount != 1:
            raise DamagedError("another program has changed it while it was in use")

    def _put(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Many rows in few steps.

        After each step Python's lock has to be got again, and with a busy event loop that takes
        milliseconds.
        """
        start, size = 0, LARGEST_CHUNK
        while start < len(rows):
            while size > len(rows) - start:
                size //= 2
            values = ",".join([f"({','.join('?' * len(rows[0]))})"] * size)
            chunk = rows[start : start + size]
            self.connection.execute(f"{statement} VALUES {values}", [*chain.from_iterable(chunk)])
            start += size

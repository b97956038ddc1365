"""The writer thread's database: one transaction at a time, durable when `commit` returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from .commit_marker import CommitMarker, is_in_place
from .errors import DamagedError, UnusableError
from .room_index import Changes, RoomIndex
from .schema import StateRow, sealed

BUSY_SECONDS = 5.0
"""Seconds to wait while another program writes."""

MAX_WAL_SIZE = 64 * 1024 * 1024
"""Bytes that the write-ahead log keeps when SQLite restarts it."""

MAX_CHUNK = 128
"""Rows in one statement: old versions of SQLite accept 999 values."""


def connect(path: str, options: str = "mode=rw") -> sqlite3.Connection:
    """Open a connection for the calling thread. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?{options}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


class Database:
    """The writing connection. Methods raise the `STORAGE_ERRORS`."""

    def __init__(self, path: str, marker: CommitMarker) -> None:
        self._path = path
        self._mark = marker
        self._inode = os.stat(path).st_ino
        self.connection = connect(path)
        try:
            self._set_up()
        except BaseException:
            self.connection.close()
            raise

    def commit(self, index: RoomIndex, changes: Changes) -> None:
        """Write all changes in one transaction, then apply them to the index."""
        self._check_that_files_are_there()
        state = index.state_after(changes)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._write_state(index.state, state)
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the next BEGIN would report the same error
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            raise
        index.accept(changes, state)

    def confirm(self, state: StateRow) -> None:
        """Record the transaction in the commit marker, so that its loss would be detected."""
        self._mark.write(state.sequence)

    def close(self) -> None:
        self.connection.close()
        self._mark.close()

    def _set_up(self) -> None:
        (mode,) = self.connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise UnusableError(
                "the file system lacks the shared memory that SQLite requires; use a local disk"
            )
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("PRAGMA fullfsync=ON")  # for macOS
        self.connection.execute(f"PRAGMA journal_size_limit={MAX_WAL_SIZE}")
        self.connection.execute("PRAGMA secure_delete=FAST")
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("UPDATE state SET one = one")  # fails if the file is read-only
        self.connection.execute("ROLLBACK")

    def _check_that_files_are_there(self) -> None:
        """Raise if a file was removed; SQLite would go on writing to a file without a name."""
        if not is_in_place(self._path, self._inode) or not self._mark.exists():
            raise UnusableError(
                "the file or its -mark file was removed or replaced while in use; restore it"
            )

    def _write(self, changes: Changes) -> None:
        execute = self.connection.execute
        self._put("INSERT INTO messages", changes.messages)
        self._put("INSERT INTO ids", changes.ids)
        self._put("REPLACE INTO rooms", changes.rows.values())
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
            (*sealed(after), before.sequence),
        )
        if written.rowcount != 1:
            raise DamagedError("another program changed the database while it was in use")

    def _put(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows with few statements.

        After each statement the thread reacquires the GIL, which takes milliseconds while the event
        loop is busy.
        """
        stored = [sealed(row) for row in rows]
        start, size = 0, MAX_CHUNK
        while start < len(stored):
            while size > len(stored) - start:
                size //= 2
            values = ",".join([f"({','.join('?' * len(stored[0]))})"] * size)
            chunk = stored[start : start + size]
            self.connection.execute(f"{statement} VALUES {values}", [*chain.from_iterable(chunk)])
            start += size

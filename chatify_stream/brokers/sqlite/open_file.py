"""Open a database: lock it, identify it, check it and load it, or reject it with a reason.

A rejected file is left unchanged. It is therefore examined through a read-only connection: when
the last writing connection closes, SQLite truncates a damaged write-ahead log behind the damage.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing

from ...rooms import Retention, RetentionRule
from ...rooms.position import new_epoch
from .commit_marker import CommitMarker, Progress
from .database import Database, connect
from .errors import DamagedError, UnusableError
from .room_index import RoomIndex
from .schema import APPLICATION_ID, VERSION, IdRow, RoomRow, StateRow, checked, create

log = logging.getLogger(__name__)

_STATE = "SELECT identity, sequence, next_room, rooms, digest, first_id, next_id, seal FROM state"
_ROOMS = "SELECT number, name, epoch, newest, oldest, latest_ms, seal FROM rooms"
_IDS = (
    "SELECT number, room, user, id, offset, sent_at_ms, fingerprint, seal FROM ids ORDER BY number"
)


def open_database(
    path: str, retention: Retention, rules: Sequence[RetentionRule]
) -> tuple[Database, RoomIndex]:
    """Open or create the database; return it and its room index. Raises the `STORAGE_ERRORS`."""
    path = os.path.realpath(path)
    _check_place(path)
    marker = CommitMarker(f"{path}-mark")
    try:
        progress = marker.read()
        if not _size_of(path):
            _check_nothing_was_lost(path, progress)
            create(path)
        with closing(connect(path, "mode=ro")) as connection:
            _identify(connection, progress)
            index = _load(connection, retention, rules)
        _compare(index.state, progress, marker)
        database = Database(path, marker)
    except BaseException:
        marker.discard()
        raise
    try:
        if marker.is_new and index.rooms:
            log.warning("%s was missing: all rooms start new epochs", marker.path)
            _renew(database, index)
        marker.reset(index.state.identity, index.state.sequence)
    except BaseException:
        database.close()
        raise
    return database, index


def _check_place(path: str) -> None:
    folder = os.path.dirname(path)
    there = _status(folder)
    if there is None:
        raise UnusableError(f"folder {folder} does not exist; create it, or choose another path")
    if not stat.S_ISDIR(there.st_mode):
        raise UnusableError(f"{folder} is not a folder; choose another path")
    found = _status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise UnusableError("the path is a folder; give the path of a file in it")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UnusableError("not a regular file; choose another path")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _size_of(path: str) -> int:
    found = _status(path)
    return 0 if found is None else found.st_size


def _check_nothing_was_lost(path: str, progress: Progress | None) -> None:
    if progress is not None:
        raise DamagedError(
            f"the file is empty or missing; it contained {progress.sequence} transactions"
        )
    if _size_of(f"{path}-wal"):
        raise DamagedError("the file is empty or missing, but its -wal file exists")


def _identify(connection: sqlite3.Connection, progress: Progress | None) -> None:
    """Check that the file belongs to this program; a file with our commit marker does."""
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if progress is None and error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise UnusableError("not an SQLite database; choose another path") from error
        raise
    if application_id != APPLICATION_ID:
        if progress is None:
            raise UnusableError("the file belongs to another program; choose another path")
        raise DamagedError("the header was changed")
    if version > VERSION:
        raise UnusableError(
            f"written by a newer chatify-stream (schema {version}, supported {VERSION}); "
            "install that version or a newer one"
        )
    if version < VERSION:
        raise DamagedError("the header was changed")


def _load(
    connection: sqlite3.Connection, retention: Retention, rules: Sequence[RetentionRule]
) -> RoomIndex:
    """Check the whole database and load everything but the messages."""
    try:
        connection.execute("SELECT json_group_array(json_array(1))")
    except sqlite3.OperationalError as error:
        raise UnusableError(
            f"the SQLite {sqlite3.sqlite_version} of this Python was built without JSON functions; "
            "use a Python that has them"
        ) from error
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedError(found.rpartition("\n")[2])
    states = [checked(StateRow, row) for row in connection.execute(_STATE)]
    if len(states) != 1:
        raise DamagedError("its state row is missing")
    index = RoomIndex(states[0], retention, rules)
    index.load(
        [checked(RoomRow, row) for row in connection.execute(_ROOMS)],
        [checked(IdRow, row) for row in connection.execute(_IDS)],
    )
    return index


def _compare(state: StateRow, progress: Progress | None, marker: CommitMarker) -> None:
    """Raise `DamagedError` if the database is older than its commit marker."""
    if progress is None:
        # The first transaction creates the tables, before the marker exists.
        if state.sequence > 1 and not marker.is_new:
            raise DamagedError("its -mark file is empty")
    elif progress.identity != state.identity:
        raise DamagedError("its -mark file belongs to another database")
    elif progress.sequence > state.sequence:
        raise DamagedError(
            "the newest messages are missing: the -mark file records "
            f"{progress.sequence} transactions, the database has {state.sequence} (to continue "
            "without them, remove the -mark file; all rooms then start new epochs)"
        )


def _renew(database: Database, index: RoomIndex) -> None:
    """Start new epochs, because the end of the logs may be missing."""
    changes = index.changes()
    for name, room in index.rooms.items():
        changes.rooms[name] = room
        changes.rows[name] = room.row._replace(epoch=new_epoch())
    database.commit(index, changes)

"""Taking a database into use: it is locked, recognised, checked and read, or refused with why.

Rules: what is refused is left as it is. That is why it is looked at through a connection that
cannot write: the last one that can cuts off, when it is closed, what is behind the damage of a
write-ahead log.
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
from .commit_marker import Mark, Progress
from .database import Database, connect
from .errors import DamagedError, UnusableError
from .room_index import Catalog
from .rows import IdRow, RoomRow, StateRow
from .schema import APPLICATION_ID, VERSION, create

__all__ = ["open_database"]

log = logging.getLogger(__name__)

_STATE = "SELECT identity, sequence, next_room, rooms, digest, first_id, next_id, seal FROM state"
_ROOMS = "SELECT number, name, epoch, newest, oldest, latest_ms, seal FROM rooms"
_IDS = (
    "SELECT number, room, user, id, offset, sent_at_ms, fingerprint, seal FROM ids ORDER BY number"
)


def open_database(
    path: str, retention: Retention, rules: Sequence[RetentionRule]
) -> tuple[Database, Catalog]:
    """The database in this file, and what it says; a new one where there is no file.

    Raises `UnusableError`, `DamagedError`, `sqlite3.Error` and `OSError`.
    """
    path = os.path.realpath(path)
    _check_place(path)
    mark = Mark(f"{path}-mark")
    try:
        progress = mark.read()
        if not _size_of(path):
            _check_that_nothing_was_there(path, progress)
            create(path)
        with closing(connect(path, "mode=ro")) as connection:
            _recognise(connection, progress)
            catalog = _load(connection, retention, rules)
        _compare(catalog.state, progress, mark)
        database = Database(path, mark)
    except BaseException:
        mark.discard()
        raise
    try:
        if mark.is_new and catalog.rooms:
            log.warning("%s was missing, so that all rooms begin new epochs", mark.path)
            _renew(database, catalog)
        mark.reset(catalog.state.identity, catalog.state.sequence)
    except BaseException:
        database.close()
        raise
    return database, catalog


def _check_place(path: str) -> None:
    folder = os.path.dirname(path)
    there = _status(folder)
    if there is None:
        raise UnusableError(f"there is no folder {folder}; make it, or take another path")
    if not stat.S_ISDIR(there.st_mode):
        raise UnusableError(f"{folder} is no folder; take another path")
    found = _status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise UnusableError("it is a folder; give the path of a file in it")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UnusableError("it is no regular file; take another path")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _size_of(path: str) -> int:
    found = _status(path)
    return 0 if found is None else found.st_size


def _check_that_nothing_was_there(path: str, progress: Progress | None) -> None:
    if progress is not None:
        raise DamagedError(f"it is empty or gone, and {progress.sequence} transactions were in it")
    if _size_of(f"{path}-wal"):
        raise DamagedError("it is empty or gone, and its -wal is not")


def _recognise(connection: sqlite3.Connection, progress: Progress | None) -> None:
    """What has a mark of ours is ours."""
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if progress is None and error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise UnusableError("the file is no SQLite database; take another path") from error
        raise
    if application_id != APPLICATION_ID:
        if progress is None:
            raise UnusableError("the file is of another program; take another path")
        raise DamagedError("its header was changed")
    if version > VERSION:
        raise UnusableError(
            f"it was written by a newer version of chatify-stream: its tables are of version "
            f"{version}, and this one knows version {VERSION}; install that version, or a newer one"
        )
    if version < VERSION:
        raise DamagedError("its header was changed")


def _check_functions(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("SELECT json_group_array(json_array(1))")
    except sqlite3.OperationalError as error:
        raise UnusableError(
            f"the SQLite {sqlite3.sqlite_version} of this Python was built without JSON functions; "
            "take a Python that has them"
        ) from error


def _load(
    connection: sqlite3.Connection, retention: Retention, rules: Sequence[RetentionRule]
) -> Catalog:
    """Checks the database as a whole, and reads all but the messages."""
    _check_functions(connection)
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedError(found.rpartition("\n")[2])
    states = [StateRow.checked(row) for row in connection.execute(_STATE)]
    if len(states) != 1:
        raise DamagedError("it says nothing of itself")
    catalog = Catalog(states[0], retention, rules)
    catalog.load(
        [RoomRow.checked(row) for row in connection.execute(_ROOMS)],
        [IdRow.checked(row) for row in connection.execute(_IDS)],
    )
    return catalog


def _compare(state: StateRow, progress: Progress | None, mark: Mark) -> None:
    """Whether the database has come as far as its mark says."""
    if progress is None:
        # The first transaction makes the tables, before there is a mark.
        if state.sequence > 1 and not mark.is_new:
            raise DamagedError("its -mark file is empty")
    elif progress.identity != state.identity:
        raise DamagedError("its -mark file is that of another database")
    elif progress.sequence > state.sequence:
        raise DamagedError(
            "its newest messages are missing: its -mark file says that there were "
            f"{progress.sequence} transactions, and there are {state.sequence} (to go on with "
            "these, remove that file; all rooms then begin new epochs, so that clients hear of it)"
        )


def _renew(database: Database, catalog: Catalog) -> None:
    """Begins new epochs, since nobody knows whether the logs are whole."""
    changes = catalog.changes()
    for name, room in catalog.rooms.items():
        changes.rooms[name] = room
        changes.rows[name] = room.row._replace(epoch=new_epoch())
    database.commit(catalog, changes)

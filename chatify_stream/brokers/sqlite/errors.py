"""What is wrong with the files, in words that say what would be right."""

from __future__ import annotations

import errno
import sqlite3

__all__ = ["DamagedError", "UnusableError", "reason_of"]


class DamagedError(Exception):
    """The files do not hold what was put into them. The text says where."""


class UnusableError(Exception):
    """The files cannot be used. The text says why, and what would be right."""


FULL = "the disk is full; once there is space again, it works again"
READ_ONLY = "the file, its folder or its file system is read-only; make it writable"
NOT_PERMITTED = (
    "this user is not permitted to read and write the file, or to make files in its folder"
)
BUSY = "another program writes to the file, and does not come to an end; close what has it open"

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PERM: NOT_PERMITTED,
    sqlite3.SQLITE_CANTOPEN: NOT_PERMITTED,
}
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""Our statements are right for our tables, so that an error in one is one of the tables."""

_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
}


def reason_of(error: Exception) -> str:
    """That of a `BrokerError` for what SQLite, the system or a module of this package says."""
    match error:
        case UnusableError():
            return str(error)
        case DamagedError():
            return _damaged(str(error))
        case sqlite3.Error():
            return _reason_of_sqlite(error)
        case OSError():
            return _SYSTEM.get(error.errno or 0, f"the disk reports an error: {error.strerror}")
    return f"it has failed: {error!r}"


def _reason_of_sqlite(error: sqlite3.Error) -> str:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:  # it is Python's own
        return _damaged("a text is not UTF-8")
    primary = code & 0xFF  # the rest says more of the same
    if primary in _DAMAGED:
        return _damaged(str(error))
    if primary == sqlite3.SQLITE_IOERR:
        return f"the disk reports an error: {error} ({error.sqlite_errorname})"
    return _SQLITE.get(primary, f"SQLite reports an error: {error}")


def _damaged(what: str) -> str:
    return (
        f"it is damaged: {what}; restore it from a backup, or begin anew: "
        "move the file away, and its -wal and -mark with it"
    )

"""Errors of the database files, with reasons that tell operators how to fix them."""

from __future__ import annotations

import errno
import sqlite3

from ...errors import BrokerError


class DamagedError(Exception):
    """The files were changed or are incomplete. The text says where."""


class UnusableError(Exception):
    """The files cannot be used. The text says why and how to fix it."""


FULL = "the disk is full; free some space"
READ_ONLY = "the file, its folder or its file system is read-only; make it writable"
NOT_PERMITTED = (
    "permission denied; allow this user to read and write the file and to create files in its "
    "folder"
)
BUSY = "another program keeps writing to the file; close the program"

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PERM: NOT_PERMITTED,
    sqlite3.SQLITE_CANTOPEN: NOT_PERMITTED,
}
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""Our statements fit our tables, so a statement that fails means that the tables are damaged."""

_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
}


STORAGE_ERRORS = (sqlite3.Error, OSError, DamagedError, UnusableError)


def broker_error(url: str, cause: Exception) -> BrokerError:
    error = BrokerError(url, reason_of(cause))
    error.__cause__ = cause
    return error


def reason_of(error: Exception) -> str:
    match error:
        case UnusableError():
            return str(error)
        case DamagedError():
            return _damaged(str(error))
        case sqlite3.Error():
            return _reason_of_sqlite(error)
        case OSError():
            return _SYSTEM.get(error.errno or 0, f"the disk reports an error: {error.strerror}")
    return f"internal error: {error!r}"


def _reason_of_sqlite(error: sqlite3.Error) -> str:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module, not by SQLite
        return _damaged("a text is not UTF-8")
    primary = code & 0xFF  # the other bits only refine the code
    if primary in _DAMAGED:
        return _damaged(str(error))
    if primary == sqlite3.SQLITE_IOERR:
        return f"the disk reports an error: {error} ({error.sqlite_errorname})"
    return _SQLITE.get(primary, f"SQLite reports an error: {error}")


def _damaged(what: str) -> str:
    return (
        f"damaged: {what}; restore it from a backup, or start over: "
        "move the file away together with its -wal and -mark files"
    )

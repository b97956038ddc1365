"""Tests of brokers/sqlite/failures.py."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from chatify_stream.brokers.sqlite.errors import (
    BUSY,
    FULL,
    NOT_PERMITTED,
    READ_ONLY,
    DamagedError,
    UnusableError,
    reason_of,
)


def sqlite_error(code: int, text: str = "text") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_NAME"
    return error


def system_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


DAMAGED = (
    "damaged: text; restore it from a backup, or start over: move the file away together with its "
    "-wal and -mark files"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnusableError("text"), "text"),
        (DamagedError("text"), DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), DAMAGED),
        (sqlite_error(sqlite3.SQLITE_NOTADB), DAMAGED),
        (sqlite_error(sqlite3.SQLITE_ERROR), DAMAGED),
        (sqlite3.OperationalError("text"), DAMAGED.replace("text", "a text is not UTF-8")),
        (sqlite_error(sqlite3.SQLITE_FULL), FULL),
        (sqlite_error(sqlite3.SQLITE_READONLY), READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_BUSY), BUSY),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), BUSY),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), NOT_PERMITTED),
        (
            sqlite_error(sqlite3.SQLITE_IOERR_FSYNC),
            "the disk reports an error: text (SQLITE_NAME)",
        ),
        (sqlite_error(sqlite3.SQLITE_NOMEM), "SQLite reports an error: text"),
        (system_error(errno.ENOSPC), FULL),
        (system_error(errno.EROFS), READ_ONLY),
        (system_error(errno.EACCES), NOT_PERMITTED),
        (system_error(errno.EIO), "the disk reports an error: Input/output error"),
        (ValueError("text"), "internal error: ValueError('text')"),
    ],
)
def test_reasons(error: Exception, reason: str) -> None:
    """Each failure has a reason that says what would be right, as far as that is known."""
    assert reason_of(error) == reason

"""Read messages of a room, and run the reads in a thread beside the writer.

Each message is checked, and so is that none is missing. A chunk of messages is read in one
statement, as JSON: after each statement the thread reacquires the GIL, which takes milliseconds
while the event loop is busy. A chunk is small enough that parsing it holds the GIL only briefly.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...rooms import LogPage, Publication, Retention
from ...rooms.position import Position
from .database import connect
from .errors import STORAGE_ERRORS, DamagedError, broker_error
from .room_index import Room
from .schema import RoomRow, checked, seal
from .worker import Job


@dataclass
class Reader:
    """A `Workload` on a read-only connection."""

    url: str
    path: str

    def begin(self) -> None:
        try:
            self._connection = connect(self.path)
            self._connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise broker_error(self.url, error) from error

    def work(self, jobs: Sequence[Job[sqlite3.Connection]]) -> Sequence[Callable[[], object]]:
        for job in jobs:
            try:
                job.result = job.request(self._connection)
            except STORAGE_ERRORS as error:
                job.error = broker_error(self.url, error)
        return ()

    def rest(self) -> float:
        return 3600.0

    def end(self) -> None:
        self._connection.close()


CHUNK = 128

_ROOM = """
SELECT number, name, epoch, newest, oldest, latest_ms, seal FROM rooms WHERE number = ?
"""

_MESSAGES = """
SELECT json_group_array(json_array(offset, user, text, id, sent_at_ms, seal)) FROM (
    SELECT * FROM messages WHERE room = ? AND offset BETWEEN ? AND ? ORDER BY offset
)
"""


def read_messages(
    connection: sqlite3.Connection, room: RoomRow, first: int, last: int
) -> Iterator[Publication]:
    """Yield the messages `first` to `last`, which must exist. Raises `DamagedError`."""
    for start in range(first, last + 1, CHUNK):
        end = min(start + CHUNK - 1, last)
        (chunk,) = connection.execute(_MESSAGES, (room.number, start, end)).fetchone()
        rows = json.loads(chunk)
        if [row[0] for row in rows] != list(range(start, end + 1)):
            raise DamagedError(f"messages of the room {room.name!r} are missing")
        for *fields, expected in rows:
            if seal((room.number, *fields)) != expected:
                raise DamagedError(f"message {fields[0]} of the room {room.name!r} was changed")
            yield Publication(*fields)


def read_message(connection: sqlite3.Connection, room: RoomRow, offset: int) -> Publication:
    """Return the message at `offset`, which must exist. Raises `DamagedError`."""
    [message] = read_messages(connection, room, offset, offset)
    return message


def first_kept(
    connection: sqlite3.Connection, room: RoomRow, retention: Retention, now_ms: int
) -> int:
    """Return the offset of the oldest message within the retention, or newest + 1 if none is.

    Assumes that messages are sorted by time. If a clock was set back, some messages are kept too
    long or not long enough. Raises `DamagedError`.
    """
    oldest = max(room.oldest, room.newest + 1 - retention.count)
    expired_ms = now_ms - retention.age * 1000
    if oldest > room.newest or room.latest_ms <= expired_ms:
        return room.newest + 1

    def sent_at_ms(offset: int) -> int:
        return read_message(connection, room, offset).sent_at_ms

    if sent_at_ms(oldest) > expired_ms:
        return oldest
    others = range(oldest + 1, room.newest)
    return oldest + 1 + bisect_right(others, expired_ms, key=sent_at_ms)


def read_page(
    connection: sqlite3.Connection,
    room: Room,
    now_ms: int,
    after: int,
    before: int | None,
    limit: int,
    newest: bool,
) -> LogPage:
    """Return the result of `Broker.read`. Raises `DamagedError` and `sqlite3.Error`."""
    connection.execute("BEGIN")
    try:
        found = connection.execute(_ROOM, (room.row.number,)).fetchone()
        # A room without messages may just have been removed.
        row = room.row if found is None else checked(RoomRow, found)
        oldest = first_kept(connection, row, room.retention, now_ms)
        first = max(after + 1, oldest)
        last = row.newest if before is None else min(before - 1, row.newest)
        if newest:
            first = max(first, last + 1 - limit)
        else:
            last = min(last, first + limit - 1)
        publications = list(read_messages(connection, row, first, last))
        return LogPage(Position(row.epoch, row.newest), oldest, publications)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")

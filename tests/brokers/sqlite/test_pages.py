"""Tests of brokers/sqlite/pages.py, on a database without a broker."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatify_stream.brokers.sqlite.errors import DamagedError
from chatify_stream.brokers.sqlite.pages import CHUNK, first_kept, read_messages, read_page
from chatify_stream.brokers.sqlite.room_index import Room
from chatify_stream.brokers.sqlite.schema import MessageRow, RoomRow, create, sealed
from chatify_stream.rooms import Draft, Log, Retention

NOW = 1_700_000_000_000


def fill(connection: sqlite3.Connection, times: list[int]) -> RoomRow:
    """A room with messages that were sent at these times."""
    row = RoomRow(1, "lobby", "epoch", len(times), 1, max([0, *times]))
    connection.execute("REPLACE INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?)", sealed(row))
    connection.execute("DELETE FROM messages")
    connection.executemany(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            sealed(MessageRow(1, offset, "ada", str(offset), "", sent_at_ms))
            for offset, sent_at_ms in enumerate(times, 1)
        ],
    )
    return row


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("pages") / "chat.db"
    create(str(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@given(
    gaps=st.lists(st.integers(0, 3000), max_size=40),
    later=st.integers(0, 60_000),
    count=st.integers(0, 50),
    age=st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_like_a_log_in_memory(
    connection: sqlite3.Connection, gaps: list[int], later: int, count: int, age: int
) -> None:
    """A page is what a log in memory gives, whatever the messages' times and the retention."""
    times = [NOW + sum(gaps[: n + 1]) for n in range(len(gaps))]
    now_ms, retention = max([NOW, *times]) + later, Retention(count, age)
    row = fill(connection, times)
    log = Log("epoch", Retention(count, 10**9))
    log.publish([Draft("ada", str(n), "", t) for n, t in enumerate(times, 1)], NOW)
    log._retention = retention
    for newest in (False, True):
        options = {"after": 0, "before": None, "limit": 7, "newest": newest}
        page = read_page(connection, Room(row, retention), now_ms, **options)
        assert page == log.read(now_ms, **options)
    assert not connection.in_transaction


def test_clock_that_was_set_back(connection: sqlite3.Connection) -> None:
    """Times that are not in order do no harm: an oldest message is found, or none is kept."""
    times = [NOW, NOW + 90_000, NOW + 1000, NOW + 2000, NOW - 5000, NOW + 3000]
    row = fill(connection, times)
    retention = Retention(age=60)
    found = [first_kept(connection, row, retention, NOW + s * 1000) for s in range(0, 200, 5)]
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-1] == 7


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_chunks(connection: sqlite3.Connection, count: int) -> None:
    """Messages that do not fit into one chunk are read in several."""
    row = fill(connection, [NOW] * count)
    found = list(read_messages(connection, row, 1, count))
    assert [publication.offset for publication in found] == list(range(1, count + 1))
    assert list(read_messages(connection, row, 5, 4)) == []


def test_missing(connection: sqlite3.Connection) -> None:
    """A message that the room should have is missed."""
    row = fill(connection, [NOW] * 5)
    connection.execute("DELETE FROM messages WHERE offset = 3")
    with pytest.raises(DamagedError, match="messages of the room 'lobby' are missing"):
        list(read_messages(connection, row, 1, 5))
    with pytest.raises(DamagedError, match="missing"):
        read_page(connection, Room(row, Retention()), NOW, 0, None, limit=9, newest=False)
    assert not connection.in_transaction


def test_room_that_was_removed(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """A room that was removed a moment ago is read as it was then: empty."""
    row = fill(connection, [])
    connection.execute("DELETE FROM rooms")
    room = Room(row._replace(newest=9, oldest=10), Retention())
    page = read_page(connection, room, NOW, after=0, before=None, limit=9, newest=False)
    assert (page.newest, page.oldest, page.publications) == (room.newest, 10, [])

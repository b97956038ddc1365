"""Tests of brokers/sqlite/database.py and schema.py: what stands in the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import database
from chatify_stream.brokers.sqlite import open_file as opening
from chatify_stream.brokers.sqlite.schema import APPLICATION_ID, VERSION
from chatify_stream.errors import BrokerError

from .opened import drafts, opened, why_not


async def test_a_database_for_others(tmp_path: Path) -> None:
    """It says whose it is, and can be read with SQLite while it is in use."""
    path = tmp_path / "chat.db"
    async with opened(path) as broker:
        await broker.publish("聊天室", drafts(["你好"]))
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
            assert other.execute("PRAGMA user_version").fetchone() == (VERSION,)
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            found = other.execute(
                "SELECT name, user, text FROM messages JOIN rooms ON room = number"
            ).fetchall()
            assert found == [("聊天室", "ada", "你好")]


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300, 5000])
async def test_many_rows(tmp_path: Path, count: int) -> None:
    """Any number of messages is written by one call, and of rooms by calls that come together."""
    async with opened(tmp_path / "chat.db") as broker:
        await broker.publish("lobby", drafts(range(count)))
        page = await broker.read("lobby", limit=count)
        assert [publication.text for publication in page.publications] == list(
            map(str, range(count))
        )


async def test_a_long_reader(tmp_path: Path) -> None:
    """Another program that reads, for however long, keeps nobody from publishing."""
    path = tmp_path / "chat.db"
    async with opened(path) as broker:
        await broker.publish("lobby", drafts("a"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM messages").fetchall()
            for _ in range(20):
                await broker.publish("lobby", drafts(range(500)))
            assert other.execute("SELECT count(*) FROM messages").fetchone() == (1,)
        assert (await broker.read("lobby", limit=1)).newest.offset == 10_001


async def test_the_log_stays_small(tmp_path: Path) -> None:
    """What was written goes into the database from time to time, and the log begins anew."""
    path = tmp_path / "chat.db"
    async with opened(path) as broker:
        for _ in range(60):
            await broker.publish("lobby", drafts(["x" * 1000] * 200))
        assert path.stat().st_size > 10_000_000
        assert Path(f"{path}-wal").stat().st_size < 8_000_000


async def test_without_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SQLite without JSON functions is said to be the reason."""

    class Old(sqlite3.Connection):
        def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:
            return super().execute(sql.replace("json_", "no_json_"), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(
        opening, "connect", lambda path, options: sqlite3.connect(path, factory=Old)
    )
    assert "was built without JSON functions; use a Python" in await why_not(tmp_path / "chat.db")


async def test_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which SQLite's log cannot be used is said to be the reason."""
    real = database.connect

    class Network(sqlite3.Connection):
        def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:
            return super().execute(sql.replace("=WAL", "=DELETE"), *rest)  # type: ignore[arg-type]

    def connect(path: str, options: str = "mode=rw") -> sqlite3.Connection:
        return sqlite3.connect(path, factory=Network, isolation_level=None)

    async with opened(tmp_path / "chat.db"):
        pass
    monkeypatch.setattr(database, "connect", connect)
    assert "use a local disk" in await why_not(tmp_path / "chat.db")
    monkeypatch.setattr(database, "connect", real)
    async with opened(tmp_path / "chat.db"):
        pass


async def test_errors_name_the_broker(tmp_path: Path) -> None:
    """An error says which broker it is of, by its URL."""
    async with opened(tmp_path / "chat.db") as broker:
        pass
    with pytest.raises(BrokerError, match=f"the broker sqlite:///{tmp_path}/chat.db: not open"):
        await broker.publish("lobby", drafts("a"))

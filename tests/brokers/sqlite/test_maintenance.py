"""Tests of brokers/sqlite/maintenance.py: what is deleted, in the file of a broker."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.brokers.sqlite import maintenance as maintenance
from chatify_stream.rooms import WINDOW_MS, Draft, Outcome, Retention, RetentionRule
from chatify_stream.testing import FakeClock, Recorder

RETENTION = Retention(count=100, age=3600)
RULES = [RetentionRule("none", Retention(count=0)), RetentionRule("short", Retention(age=10))]


class Site:
    """A broker, and a look into its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.recorder = Recorder()
        self.broker = SQLiteBroker(path, RETENTION, RULES, clock=self.clock)
        self._ids = 0

    async def publish(self, room: str, count: int = 1, *, with_ids: bool = False) -> None:
        drafts = []
        for _ in range(count):
            self._ids += 1
            message_id = str(self._ids) if with_ids else ""
            drafts.append(Draft("ada", "x", message_id, self.clock.now_ms))
        await self.broker.publish(room, drafts)

    async def settle(self, seconds: float = 2) -> None:
        """Lets some time pass, and what is due then be done."""
        self.clock.advance(seconds)
        for _ in range(50):  # steps, one after each batch
            await self.broker.unsubscribe("nothing")

    def count(self, table: str, where: str = "1") -> int:
        with closing(sqlite3.connect(self.path)) as database:
            (count,) = database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()
            return int(count)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path / "chat.db")
    await site.broker.open(site.recorder)
    yield site
    await site.broker.close()
    assert site.recorder.faults == []
    again = Site(site.path)  # what is left is whole
    await again.broker.open(again.recorder)
    await again.broker.close()


async def test_by_number(site: Site) -> None:
    """What exceeds the number of a room is deleted once it is a tenth of it."""
    await site.publish("lobby", 100)
    await site.settle()
    await site.publish("lobby", 9)
    await site.settle()
    assert site.count("messages") == 109
    assert len((await site.broker.read("lobby", limit=1000)).publications) == 100
    await site.publish("lobby", 1)
    await site.settle()
    assert site.count("messages") == 100
    assert site.count("messages", "offset = 10") == 0
    assert (await site.broker.read("lobby", limit=1000)).oldest == 11


async def test_nothing_is_kept(site: Site) -> None:
    """A room that keeps nothing has nothing in the file after a second."""
    await site.publish("none", 3)
    await site.settle()
    assert site.count("messages") == 0
    await site.publish("none", 1)
    page = await site.broker.read("none", limit=10)
    assert (page.newest.offset, page.oldest, page.publications) == (4, 5, [])


async def test_by_age(site: Site) -> None:
    """What is too old is deleted within two minutes, though nobody uses the room any more."""
    await site.publish("short", 5)
    site.clock.advance(8)
    await site.publish("short", 5)
    await site.publish("lobby", 5)
    site.clock.advance(5)
    assert site.count("messages") == 15
    await site.settle(60)
    await site.settle(60)
    assert site.count("messages") == 5
    await site.settle(3600)
    await site.settle(60)
    assert site.count("messages") == 0


async def test_ids(site: Site) -> None:
    """Ids are deleted after their window, and those of it are kept."""
    await site.publish("lobby", 50, with_ids=True)
    site.clock.advance(WINDOW_MS / 2000)
    await site.publish("lobby", 20, with_ids=True)
    await site.settle()
    assert site.count("ids") == 70
    await site.settle(WINDOW_MS / 2000)
    assert site.count("ids") == 20
    [receipt] = await site.broker.publish("lobby", [Draft("ada", "x", "60", site.clock.now_ms)])
    assert receipt.outcome is Outcome.DUPLICATE
    await site.settle(WINDOW_MS / 1000)
    assert site.count("ids") == 0


async def test_a_little_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction deletes a bounded number of rows; the rest follows in the next ones."""
    monkeypatch.setattr(maintenance, "MAX_STEP", 70)
    await site.publish("lobby", 500, with_ids=True)
    await site.publish("attic", 500)
    await site.settle()
    assert site.count("messages") == 200
    await site.settle(WINDOW_MS / 1000)
    assert site.count("ids") == 0
    await site.settle(3600)
    assert site.count("messages") == 0


async def test_rooms(site: Site) -> None:
    """A room that keeps nothing is removed, unless it is subscribed to; then its epoch is new."""
    for room in ("lobby", "attic"):
        await site.publish(room, 3, with_ids=True)
    await site.broker.read("cellar", limit=1)
    await site.broker.subscribe("attic")
    before = [(await site.broker.read(room, limit=1)).newest for room in ("lobby", "attic")]
    await site.settle(61)
    assert site.count("rooms") == 2
    for _ in range(4):
        await site.settle(3600)
    assert site.count("rooms") == 1
    lobby, attic = [(await site.broker.read(room, limit=1)).newest for room in ("lobby", "attic")]
    assert attic == before[1]
    assert lobby.offset == 0
    assert lobby.epoch != before[0].epoch
    await site.publish("lobby")
    assert (await site.broker.read("lobby", limit=9)).newest.offset == 1


async def test_ids_that_outlive_their_room(site: Site) -> None:
    """An id from a clock that was ahead holds up others', even those of rooms that are gone."""
    ahead = Draft("ada", "x", "1", site.clock.now_ms + 86_400_000)
    await site.broker.publish("attic", [ahead])
    await site.publish("short", 3, with_ids=True)
    for _ in range(4):
        await site.settle(WINDOW_MS / 1000)
    assert (site.count("rooms"), site.count("ids")) == (1, 4)  # and it can be opened again


async def test_damaged_rooms(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of a damaged room is deleted by age, which is logged, and other rooms are."""
    await site.publish("short", 5)
    await site.publish("lobby", 5)
    with closing(sqlite3.connect(site.path)) as database, database:
        database.execute("UPDATE messages SET sent_at_ms = 5 WHERE room = 2 AND offset = 1")
    await site.settle(61)
    await site.settle(61)
    assert site.count("messages", "room = 1") == 0
    assert site.count("messages", "room = 2") == 5
    assert "cannot delete expired messages of the room 'lobby'" in caplog.text


async def test_a_clock_that_goes_back(site: Site) -> None:
    """A clock that is set back stops nothing."""
    site.clock.advance(-86_400)
    await site.publish("lobby", 500)
    await site.settle()
    assert site.count("messages") == 100


async def test_what_cannot_be_deleted(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """When deleting fails, it is said once, and done later."""
    await site.publish("lobby", 500)
    away = site.path.rename(site.path.with_name("away"))
    await site.settle()
    await site.settle(61)
    assert caplog.text.count("cannot delete expired messages: the file or its -mark file") == 1
    away.rename(site.path)
    await site.settle(61)
    assert site.count("messages") == 100


async def test_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done by itself, though nothing is asked for any more."""
    monkeypatch.setattr(maintenance, "USED_SCAN_MS", 1)
    site = Site(tmp_path / "chat.db")
    await site.broker.open(site.recorder)
    site.clock.advance(1)
    await site.publish("lobby", 500)
    async with asyncio.timeout(30):
        while site.count("messages") > 100:
            site.clock.advance(0.01)
            await asyncio.sleep(0)
    await site.broker.close()

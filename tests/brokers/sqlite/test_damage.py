"""Damaged files: everything that was acknowledged comes back as it was, or it is said."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.brokers.sqlite.errors import READ_ONLY
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft, Outcome
from chatify_stream.testing import FakeClock, Recorder

from .crashes import SUFFIXES, Acknowledged, check, copy, crashed
from .opened import drafts, opened, why_not


@dataclass
class Crash:
    """The files that a crash left, of which each trial damages a copy."""

    path: Path
    acknowledged: Acknowledged
    clock: FakeClock
    trials: int = 0

    def copy(self) -> Path:
        self.trials += 1
        folder = self.path.parent / f"trial-{self.trials}"
        folder.mkdir()
        return copy(self.path, folder)

    async def is_whole(self, path: Path) -> bool:
        """Fails when something is missing or wrong, and it is not said."""
        reason = None
        try:
            await check(path, self.acknowledged, self.clock)
        except BrokerError as error:
            reason = error.reason
        shutil.rmtree(path.parent)
        # Two bits of the header say that another version wrote it, or that it is read-only.
        known = ("damaged: ", "written by a newer chatify-stream", READ_ONLY)
        assert reason is None or reason.startswith(known)
        return reason is None


async def crash(folder: Path, seed: int, calls: int) -> Crash:
    clock = FakeClock()
    path, acknowledged = await crashed(folder, clock, random.Random(seed), calls)
    crash = Crash(path, acknowledged, clock)
    assert await crash.is_whole(crash.copy())
    return crash


def files_of(path: Path) -> list[Path]:
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return [file for file in files if file.exists() and file.stat().st_size]


def damage(file: Path, chance: random.Random) -> None:
    """In one of the ways that are seen."""
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data))
    match chance.randrange(6):
        case 0 | 1:
            data[at] ^= 1 << chance.randrange(8)
        case 2:
            for _ in range(5):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 3:
            del data[chance.choice([at, at // 4096 * 4096, max(0, len(data) - at % 9000)]) :]
        case 4:
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        case _:
            data[at : at + 64] = chance.randbytes(len(data[at : at + 64]))
    file.write_bytes(data)


@pytest.mark.parametrize(("seed", "calls"), [(1, 5), (2, 40), (3, 200)])
async def test_at_random(tmp_path: Path, seed: int, calls: int) -> None:
    """Bits flipped, ends cut off, blocks zeroed or overwritten, in any of the files."""
    made = await crash(tmp_path, seed, calls)
    chance = random.Random(seed)
    whole = 0
    for _ in range(50):
        path = made.copy()
        damage(chance.choice(files_of(path)), chance)
        whole += await made.is_whole(path)
    assert 0 < whole < 50  # much of what is in the files is not needed, and much is


async def test_ends_of_the_log(tmp_path: Path) -> None:
    """A write-ahead log that was cut off anywhere has lost something, which is said."""
    made = await crash(tmp_path, 4, 12)
    size = Path(f"{made.path}-wal").stat().st_size
    frame = 4096 + 24
    ends = {32, 0, 31, size - 1, *range(32, size, frame), *range(32 + 24, size, 3 * frame)}
    for end in sorted(ends - {size}):
        path = made.copy()
        os.truncate(f"{path}-wal", end)
        assert not await made.is_whole(path), end


async def test_each_bit_of_the_last_transaction(tmp_path: Path) -> None:
    """A bit of the last frame, or of its header, is missed."""
    made = await crash(tmp_path, 5, 3)
    wal = Path(f"{made.path}-wal")
    start = wal.stat().st_size - 4096 - 24
    for bit in [*range(24 * 8), *random.Random(5).sample(range(24 * 8, (24 + 4096) * 8), 40)]:
        path = made.copy()
        data = bytearray(wal.read_bytes())
        data[start + bit // 8] ^= 1 << bit % 8
        Path(f"{path}-wal").write_bytes(data)
        assert not await made.is_whole(path), bit


async def test_each_byte_of_the_header(tmp_path: Path) -> None:
    """Whatever the header of a database says that was closed in order, nothing goes unsaid."""
    made = await crash(tmp_path, 6, 10)
    await check(made.path, made.acknowledged, made.clock)  # which closes it
    for byte in range(100):
        path = made.copy()
        data = bytearray(path.read_bytes())
        data[byte] ^= 1 << byte % 8
        path.write_bytes(data)
        await made.is_whole(path)


async def test_each_byte_of_the_mark(tmp_path: Path) -> None:
    """A damaged mark alone costs nothing that was acknowledged."""
    made = await crash(tmp_path, 7, 10)
    mark = Path(f"{made.path}-mark").read_bytes()
    for byte in range(len(mark)):
        if not mark[byte]:
            continue
        path = made.copy()
        Path(f"{path}-mark").write_bytes(mark[:byte] + b"?" + mark[byte + 1 :])
        await made.is_whole(path)


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_missing_files(tmp_path: Path, suffix: str) -> None:
    """A file that was removed after a crash is missed."""
    made = await crash(tmp_path, 8, 30)
    path = made.copy()
    path.with_name(path.name + suffix).unlink()
    assert not await made.is_whole(path)


async def test_all_files_but_the_log(tmp_path: Path) -> None:
    """A log without its database is not written over."""
    made = await crash(tmp_path, 9, 30)
    path = made.copy()
    path.unlink()
    Path(f"{path}-mark").unlink()
    assert (await why_not(path)).startswith(
        "damaged: the file is empty or missing, but its -wal file"
    )
    assert Path(f"{path}-wal").read_bytes() == Path(f"{made.path}-wal").read_bytes()


async def test_what_is_refused_stays(tmp_path: Path) -> None:
    """A database that is found to be damaged is left as it is, so that it can be looked into."""
    made = await crash(tmp_path, 10, 30)
    path = made.copy()
    wal = Path(f"{path}-wal")
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    before = {file.name: file.read_bytes() for file in files_of(path)}
    for _ in range(2):
        assert "the newest messages are missing" in await why_not(path)
    assert {file.name: file.read_bytes() for file in files_of(path)} == before


async def test_going_on_with_what_is_left(tmp_path: Path) -> None:
    """Without its mark a database is opened as it is, and nobody resumes in its rooms."""
    made = await crash(tmp_path, 11, 30)
    path = made.copy()
    os.truncate(f"{path}-wal", Path(f"{path}-wal").stat().st_size - 1)
    assert "remove the -mark file" in await why_not(path)
    Path(f"{path}-mark").unlink()
    epochs = set()
    async with opened(path, clock=made.clock) as broker:
        kept = 0
        for room, publications in made.acknowledged.publications.items():
            page = await broker.read(room, limit=10_000)
            assert page.publications == publications[: page.newest.offset]
            assert page.newest.epoch != made.acknowledged.newest[room].epoch
            epochs.add(page.newest.epoch)
            kept += page.newest.offset
        count = sum(map(len, made.acknowledged.publications.values()))
        assert 0 < kept < count
        assert len(epochs) == len(made.acknowledged.publications)
    async with opened(path, clock=made.clock) as broker:  # once is enough
        assert {
            (await broker.read(room, limit=1)).newest.epoch for room in made.acknowledged.newest
        } == epochs


async def test_an_older_copy(tmp_path: Path) -> None:
    """A database that was put back from a backup, beside its newer mark, is not taken for it."""
    path, backup = tmp_path / "chat.db", tmp_path / "backup.db"
    async with opened(path) as broker:
        await broker.publish("lobby", drafts("a"))
    shutil.copyfile(path, backup)
    async with opened(path) as broker:
        await broker.publish("lobby", drafts("b"))
    shutil.copyfile(backup, path)
    assert "the newest messages are missing" in await why_not(path)


async def test_the_mark_of_another(tmp_path: Path) -> None:
    """A mark belongs to one database."""
    for name in ("a.db", "b.db"):
        async with opened(tmp_path / name) as broker:
            await broker.publish("lobby", drafts("a"))
    shutil.copyfile(tmp_path / "a.db-mark", tmp_path / "b.db-mark")
    assert "its -mark file belongs to another database" in await why_not(tmp_path / "b.db")


CHANGES = {
    "a message is gone": "DELETE FROM messages WHERE room = 1 AND offset = 5",
    "the first is gone": "DELETE FROM messages WHERE room = 1 AND offset = 1",
    "the last is gone": "DELETE FROM messages WHERE room = 1 AND offset = 9",
    "all are gone": "DELETE FROM messages WHERE room = 1",
    "a text": "UPDATE messages SET text = 'x' WHERE room = 1 AND offset = 5",
    "a user": "UPDATE messages SET user = 'bob' WHERE room = 1 AND offset = 5",
    "an id": "UPDATE messages SET id = 'x' WHERE room = 1 AND offset = 5",
    "a time": "UPDATE messages SET sent_at_ms = sent_at_ms - 1 WHERE room = 1 AND offset = 5",
    "a time, long ago": "UPDATE messages SET sent_at_ms = 1 WHERE room = 1 AND offset = 1",
    "bytes for a text": "UPDATE messages SET text = x'ff' WHERE room = 1 AND offset = 5",
    "no UTF-8": "UPDATE messages SET text = CAST(x'ff' AS TEXT) WHERE room = 1 AND offset = 5",
    "two are exchanged": (
        "UPDATE messages SET text = (SELECT text FROM messages AS other WHERE other.room = 1 "
        "AND other.offset = 13 - messages.offset) WHERE room = 1 AND offset IN (6, 7)"
    ),
    "of another room": (
        "REPLACE INTO messages SELECT 1, offset, user, text, id, sent_at_ms, seal "
        "FROM messages WHERE room = 2 AND offset = 5"
    ),
    "fewer messages": "UPDATE rooms SET newest = 8 WHERE number = 1",
    "a later beginning": "UPDATE rooms SET oldest = 3 WHERE number = 1",
    "another epoch": "UPDATE rooms SET epoch = 'x' WHERE number = 1",
    "another name": "UPDATE rooms SET name = 'attic' WHERE number = 1",
    "a room is gone": "DELETE FROM rooms WHERE number = 1",
    "an id is gone": "DELETE FROM ids WHERE number = 5",
    "the last id is gone": "DELETE FROM ids WHERE number = 9",
    "an id with another text": "UPDATE ids SET fingerprint = 1 WHERE number = 5",
    "the state": "UPDATE state SET sequence = sequence + 1",
    "no state": "DELETE FROM state",
    "no table": "DROP TABLE ids",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_rows(tmp_path: Path, change: str) -> None:
    """Rows that are gone or not as they were are missed, in a database that is right for SQLite."""
    path = tmp_path / "chat.db"
    acknowledged, clock = Acknowledged(), FakeClock()
    async with opened(path, clock=clock) as broker:
        for offset in range(1, 10):
            for room in ("lobby", "other"):
                draft = Draft("ada", f"text {offset}", f"{room} {offset}", clock.now_ms)
                await acknowledged.publish(broker, room, [draft])
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(change).rowcount
    with pytest.raises(BrokerError, match="damaged: "):
        await check(path, acknowledged, clock)


async def test_other_rooms(tmp_path: Path) -> None:
    """A damaged message makes no other room unreadable, and its own only where it is."""
    path = tmp_path / "chat.db"
    async with opened(path) as broker:
        await broker.publish("lobby", drafts(range(9)))
        await broker.publish("other", drafts(range(9)))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE messages SET text = 'x' WHERE room = 1 AND offset = 5")
    async with opened(path) as broker:
        assert len((await broker.read("other", limit=10)).publications) == 9
        assert len((await broker.read("lobby", after=5, limit=10)).publications) == 4
        with pytest.raises(BrokerError, match="message 5 of the room 'lobby' was changed"):
            await broker.read("lobby", limit=10)
        [receipt] = await broker.publish("lobby", drafts("x"))
        assert (receipt.outcome, receipt.position.offset) == (Outcome.PUBLISHED, 10)


class TestInUse:
    async def test_removed(self, tmp_path: Path) -> None:
        """While its files are away nothing is acknowledged; it is once they are back."""
        path = tmp_path / "chat.db"
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
            for suffix in ("", "-mark"):
                file, away = Path(f"{path}{suffix}"), tmp_path / "away"
                file.rename(away)
                for _ in range(2):
                    with pytest.raises(BrokerError, match="removed or replaced"):
                        await broker.publish("lobby", drafts("lost"))
                file.write_bytes(b"another one")
                with pytest.raises(BrokerError, match="removed or replaced"):
                    await broker.publish("lobby", drafts("lost"))
                away.replace(file)
                await broker.publish("lobby", drafts("b"))
        async with opened(path) as broker:
            page = await broker.read("lobby", limit=10)
            assert [each.text for each in page.publications] == ["a", "b", "b"]

    async def test_changed(self, tmp_path: Path) -> None:
        """What another program has changed is not written over."""
        path = tmp_path / "chat.db"
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE state SET sequence = sequence + 1")
            with pytest.raises(BrokerError, match="another program changed the database"):
                await broker.publish("lobby", drafts("b"))

    async def test_locked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While another program writes nothing is acknowledged, and reading goes on."""
        monkeypatch.setattr("chatify_stream.brokers.sqlite.database.BUSY_SECONDS", 0.05)
        path = tmp_path / "chat.db"
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(BrokerError, match="another program keeps writing to the file"):
                    await broker.publish("lobby", drafts("b"))
                assert (await broker.read("lobby", limit=10)).newest.offset == 1
                await broker.subscribe("lobby")
            [receipt] = await broker.publish("lobby", drafts("c"))
            assert receipt.position.offset == 2


async def test_opened_and_never_used(tmp_path: Path) -> None:
    """Opening and closing again changes nothing that was acknowledged."""
    made = await crash(tmp_path, 12, 30)
    for _ in range(3):
        broker = SQLiteBroker(made.path, clock=made.clock)
        await broker.open(Recorder())
        await broker.close()
    await check(made.path, made.acknowledged, made.clock)

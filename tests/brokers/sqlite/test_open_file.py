"""Tests of brokers/sqlite/opening.py: what is not opened, and what is then said."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker, pages
from chatify_stream.brokers.sqlite import commit_marker as mark
from chatify_stream.brokers.sqlite.errors import FULL, NOT_PERMITTED, READ_ONLY
from chatify_stream.brokers.sqlite.schema import VERSION
from chatify_stream.errors import BrokerError
from chatify_stream.testing import Recorder

from ...footprint import descriptors
from .mounts import fill, make_read_only, small_disk
from .opened import drafts, opened, why_not


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files there, but for what SQLite makes to read one."""
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if not file.name.endswith(("-shm", "-wal"))
    }


class TestPlaces:
    async def test_new(self, path: Path) -> None:
        """A file that is not there is made, with nothing but its mark beside it in the end."""
        async with opened(path) as broker:
            assert (await broker.rooms(limit=10)).rooms == []
        assert {file.name for file in path.parent.iterdir()} == {"chat.db", "chat.db-mark"}

    async def test_empty_file(self, path: Path) -> None:
        """An empty file is used like none."""
        path.touch()
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
        async with opened(path) as broker:
            assert (await broker.read("lobby", limit=10)).newest.offset == 1

    async def test_leftovers_of_a_crash(self, path: Path) -> None:
        """A crash while it was made the first time is made good."""
        Path(f"{path}-new").write_bytes(b"half a database")
        Path(f"{path}-mark").touch()
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
        Path(f"{path}-mark").unlink()  # as if it had come no further than this

    async def test_made_but_never_used(self, path: Path) -> None:
        """A crash between the database and its mark is made good."""
        async with opened(path):
            pass
        Path(f"{path}-mark").write_bytes(b"")
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
        async with opened(path) as broker:
            assert (await broker.read("lobby", limit=10)).newest.offset == 1

    async def test_relative_path(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A path is of the folder that was current when the broker was made."""
        monkeypatch.chdir(path.parent)
        broker = SQLiteBroker("chat.db")
        monkeypatch.chdir("/")
        await broker.open(Recorder())
        await broker.publish("lobby", drafts("a"))
        await broker.close()
        assert path.exists()

    async def test_odd_names(self, tmp_path: Path) -> None:
        """A name with characters that mean something in a URL, or to SQLite, is a name."""
        for name in ("?mode=memory&a=b#c", "%20 ü 聊", ":memory:", "file:x", "a'b\"c"):
            async with opened(tmp_path / name) as broker:
                await broker.publish("lobby", drafts("a"))
            async with opened(tmp_path / name) as broker:
                assert (await broker.read("lobby", limit=10)).newest.offset == 1
            assert (tmp_path / name).stat().st_size

    async def test_missing_folder(self, tmp_path: Path) -> None:
        """The folder has to be there."""
        reason = await why_not(tmp_path / "none" / "chat.db")
        assert reason == f"folder {tmp_path}/none does not exist; create it, or choose another path"

    async def test_file_for_a_folder(self, tmp_path: Path) -> None:
        """A file is no folder."""
        (tmp_path / "file").touch()
        assert "/file is not a folder; choose another path" in await why_not(
            tmp_path / "file" / "x.db"
        )

    async def test_folder_for_a_file(self, tmp_path: Path) -> None:
        """A folder is no file."""
        assert await why_not(tmp_path) == "the path is a folder; give the path of a file in it"

    async def test_pipe(self, path: Path) -> None:
        """What is no regular file is refused, not read from."""
        os.mkfifo(path)
        assert await why_not(path) == "not a regular file; choose another path"


class TestOtherFiles:
    @pytest.mark.parametrize("content", [b"Hello, world.\n" * 1000, bytes(8192)])
    async def test_no_database(self, path: Path, content: bytes) -> None:
        """A file that is no database is refused, and stays as it is, alone."""
        path.write_bytes(content)
        assert await why_not(path) == "not an SQLite database; choose another path"
        assert contents(path.parent) == {"chat.db": content}

    @pytest.mark.parametrize("mode", ["DELETE", "WAL"])
    async def test_of_another_program(self, path: Path, mode: str) -> None:
        """A database of another program is refused, and stays as it is, without a mark."""
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"PRAGMA journal_mode={mode}")
            other.execute("CREATE TABLE state (sequence)")
            other.commit()
        content = path.read_bytes()
        assert await why_not(path) == "the file belongs to another program; choose another path"
        assert contents(path.parent) == {"chat.db": content}

    async def test_one_byte(self, path: Path) -> None:
        """A file that SQLite would take for an empty database, and write over, is refused."""
        path.write_bytes(b"x")
        assert await why_not(path) == "the file belongs to another program; choose another path"
        assert contents(path.parent) == {"chat.db": b"x"}

    async def test_newer_version(self, path: Path) -> None:
        """A database with newer tables is refused, and not called damaged."""
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
        with closing(sqlite3.connect(path)) as newer:
            newer.execute(f"PRAGMA user_version={VERSION + 1}")
        reason = await why_not(path)
        assert reason.startswith("written by a newer chatify-stream")
        assert reason.endswith("install that version or a newer one")


class TestInUse:
    async def test_by_this_process(self, path: Path) -> None:
        """A second broker is refused while the first one has the file, and not after that."""
        async with opened(path) as broker:
            reason = await why_not(path)
            assert reason == "in use by another server; give each server its own file"
            await broker.publish("lobby", drafts("a"))
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("b"))
            assert (await broker.read("lobby", limit=10)).newest.offset == 2

    async def test_under_another_name(self, path: Path) -> None:
        """A symbolic link is the same file."""
        link = path.with_name("link.db")
        link.symlink_to(path)
        async with opened(path):
            assert "in use by another server" in await why_not(link)

    @pytest.mark.process
    async def test_by_another_process(self, path: Path) -> None:
        """A second process is refused, and the first one does not notice."""
        script = (
            "import asyncio, sys\n"
            "from chatify_stream.brokers.sqlite import SQLiteBroker\n"
            "from chatify_stream.testing import Recorder\n"
            "asyncio.run(SQLiteBroker(sys.argv[1]).open(Recorder()))\n"
        )
        async with opened(path) as broker:
            await broker.publish("lobby", drafts("a"))
            second = subprocess.run(
                [sys.executable, "-c", script, str(path)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert second.returncode == 1
            assert "in use by another server" in second.stderr
            await broker.publish("lobby", drafts("b"))


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any user may enter, as `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do anything, so be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestNotPermitted:
    async def test_folder(self, shared: Path) -> None:
        """Files have to be made in the folder."""
        shared.chmod(0o555)
        with as_nobody():
            reason = await why_not(shared / "chat.db")
        assert reason == NOT_PERMITTED

    async def test_folder_that_cannot_be_entered(self, shared: Path) -> None:
        """A folder that cannot be looked into is not called missing."""
        (shared / "closed" / "inner").mkdir(parents=True)
        (shared / "closed").chmod(0o000)
        with as_nobody():
            reason = await why_not(shared / "closed" / "inner" / "chat.db")
        (shared / "closed").chmod(0o755)
        assert reason == NOT_PERMITTED

    @pytest.mark.parametrize("mode", [0o444, 0o000])
    async def test_file(self, shared: Path, mode: int) -> None:
        """The file has to be read and written."""
        path = shared / "chat.db"
        async with opened(path):
            pass
        shared.chmod(0o777)
        Path(f"{path}-mark").chmod(0o666)
        path.chmod(mode)
        with as_nobody():
            reason = await why_not(path)
        assert reason in (READ_ONLY, NOT_PERMITTED)
        path.chmod(0o644)
        async with opened(path) as broker:  # it has been left as it was
            await broker.publish("lobby", drafts("a"))

    @pytest.mark.process
    async def test_read_only_disk(self, tmp_path: Path) -> None:
        """A file system that is read-only is said to be."""
        with small_disk(tmp_path / "disk", "4m") as disk:
            async with opened(disk / "chat.db") as broker:
                await broker.publish("lobby", drafts("a"))
            make_read_only(disk)
            reason = await why_not(disk / "chat.db")
        assert reason == READ_ONLY


@pytest.mark.process
class TestFullDisk:
    async def test_new(self, tmp_path: Path) -> None:
        """No database can be made on a disk that is full, and one can once there is space."""
        with small_disk(tmp_path / "disk", "1m") as disk:
            ballast = fill(disk)
            assert await why_not(disk / "chat.db") == FULL
            ballast.unlink()
            async with opened(disk / "chat.db") as broker:
                await broker.publish("lobby", drafts("a"))


class TestFailures:
    """Whatever fails while it is opened, nothing is left open."""

    async def test_reader(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection that reads."""

        with monkeypatch.context() as patch:
            patch.setattr(pages, "connect", lambda path: sqlite3.connect("/none/none"))
            assert await why_not(path) == NOT_PERMITTED
        async with opened(path):
            pass

    async def test_mark(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The mark, once the database is open."""
        with monkeypatch.context() as patch:
            patch.setattr(mark.os, "write", lambda descriptor, line: 0)
            assert await why_not(path) == FULL
        async with opened(path):
            pass

    async def test_older_version(self, path: Path) -> None:
        """There is no older version yet."""
        async with opened(path):
            pass
        with closing(sqlite3.connect(path)) as older:
            older.execute("PRAGMA user_version=0")
        assert "damaged: the header was changed" in await why_not(path)


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    """Neither files nor threads, whether it was opened or refused."""
    for number in range(3):  # the first may load something that stays
        before = descriptors(), threading.active_count()
        async with opened(tmp_path / f"chat-{number}.db") as broker:
            await broker.publish("lobby", drafts("a"))
            await broker.read("lobby", limit=1)
            await why_not(tmp_path / f"chat-{number}.db")
        await why_not(tmp_path)
        Path(tmp_path / f"chat-{number}.db-mark").write_bytes(b"x")
        await why_not(tmp_path / f"chat-{number}.db")
    assert (descriptors(), threading.active_count()) == before


async def test_closed_while_it_is_opened(path: Path) -> None:
    """Whoever closes a broker that is being opened has it closed."""
    broker = SQLiteBroker(path)
    opening = asyncio.ensure_future(broker.open(Recorder()))
    await asyncio.sleep(0)
    await broker.close()
    with pytest.raises(BrokerError, match="closed while it was being opened"):
        await opening
    async with opened(path):
        pass

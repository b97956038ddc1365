"""Tests of brokers/sqlite/mark.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite.commit_marker import SLOT, CommitMarker, Progress
from chatify_stream.brokers.sqlite.errors import DamagedError, UnusableError

IDENTITY, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db-mark"


@pytest.fixture
def mark(path: Path) -> Iterator[CommitMarker]:
    with closing(CommitMarker(str(path))) as mark:
        yield mark


def test_new(mark: CommitMarker, path: Path) -> None:
    """A new mark says nothing, and is removed again when it is discarded."""
    assert mark.is_new
    assert mark.read() is None
    mark.discard()
    assert not path.exists()
    mark.__init__(str(path))  # for the fixture to close


def test_written(mark: CommitMarker, path: Path) -> None:
    """It says which transaction was committed last, to whoever opens it next."""
    mark.reset(IDENTITY, 1)
    assert mark.read() == Progress(IDENTITY, 1)
    for sequence in range(2, 7):
        mark.write(sequence)
        assert mark.read() == Progress(IDENTITY, sequence)
    size = path.stat().st_size
    mark.write(10**15)
    assert path.stat().st_size == size
    mark.discard()
    mark.__init__(str(path))
    assert not mark.is_new
    assert mark.read() == Progress(IDENTITY, 10**15)


@pytest.mark.parametrize("torn", [0, 20, 70])
def test_torn(mark: CommitMarker, path: Path, torn: int) -> None:
    """When the newest slot was not written whole, its transaction was committed all the same."""
    mark.reset(IDENTITY, 5)
    mark.write(6)
    content = bytearray(path.read_bytes())
    content[torn : torn + 3] = b"\0\0\0"  # 6 is in the slot 0
    path.write_bytes(content)
    assert mark.read() == Progress(IDENTITY, 6)


@pytest.mark.parametrize("content", [b"x", b"x" * 9000, b"\0" * 5000 + b"x"])
def test_nothing_but_damage(mark: CommitMarker, path: Path, content: bytes) -> None:
    """A mark that says nothing, and is not empty, is damaged."""
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="is unreadable"):
        mark.read()


def test_never_written_whole(mark: CommitMarker, path: Path) -> None:
    """A mark of zeros is one whose first writing did not come to its end."""
    path.write_bytes(bytes(SLOT + 82))
    assert mark.read() is None


def test_contradiction(mark: CommitMarker, path: Path) -> None:
    """Slots of two databases do not go together."""
    mark.reset(IDENTITY, 2)
    one = path.read_bytes()
    mark.reset(OTHER, 2)
    path.write_bytes(one[:SLOT] + path.read_bytes()[SLOT:])
    with pytest.raises(DamagedError, match="contradict each other"):
        mark.read()


def test_locked(mark: CommitMarker, path: Path) -> None:
    """One at a time has it, and the next one when it was closed."""
    with pytest.raises(UnusableError, match="in use by another server"):
        CommitMarker(str(path))
    mark.close()
    mark.__init__(str(path))


def test_whether_it_is_there(mark: CommitMarker, path: Path) -> None:
    """It notices that its file was removed, or is another one."""
    assert mark.exists()
    path.rename(path.with_name("away"))
    assert not mark.exists()
    path.touch()
    assert not mark.exists()
    path.with_name("away").replace(path)
    assert mark.exists()

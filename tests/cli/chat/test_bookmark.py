"""Where a user has read to."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from chatify_stream.cli.chat.visit import Bookmark, state_folder
from chatify_stream.rooms.position import Position

HERE = Position("epoch", 7)


def bookmark(
    folder: Path, server: str = "localhost:9000", room: str = "r", user: str = "u"
) -> Bookmark:
    return Bookmark(folder, server, room, user)


def test_none(tmp_path: Path) -> None:
    """A user without a visit has no position."""
    assert bookmark(tmp_path / "missing").read() is None


def test_kept(tmp_path: Path) -> None:
    """The last saved position is read, also by another process, and no other file remains."""
    folder = tmp_path / "state" / "chatify-stream"
    for offset in range(1, 8):
        bookmark(folder).write(Position("epoch", offset))
    assert bookmark(folder).read() == HERE
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "other", [{"server": "localhost:9001"}, {"room": "ru"}, {"user": "ru"}, {"room": "R"}]
)
def test_each_its_own(tmp_path: Path, other: dict[str, str]) -> None:
    """Each server, room and user has its own."""
    bookmark(tmp_path).write(HERE)
    assert bookmark(tmp_path, **other).read() is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "名" * 128, "CON", ".", "\\", "a:b"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """Names of rooms and users never become file names."""
    folder = tmp_path / "state"
    bookmark(folder, room=name, user=name).write(HERE)
    assert bookmark(folder, room=name, user=name).read() == HERE
    (file,) = folder.iterdir()
    assert json.loads(file.read_text(encoding="utf-8"))["room"] == name


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"[]", b"1", b"{}", b"\xff", b'{"position": 5}', b'{"position": "a/b/c"}', b"null"],
)
def test_damaged(tmp_path: Path, damaged: bytes) -> None:
    """A damaged file counts as no position, and is replaced."""
    mark = bookmark(tmp_path)
    mark.file.write_bytes(damaged)
    assert mark.read() is None
    mark.write(HERE)
    assert mark.read() == HERE


def test_for_this_user_alone(tmp_path: Path) -> None:
    """Others cannot look into the folder."""
    mark = bookmark(tmp_path / "state")
    mark.write(HERE)
    assert stat.S_IMODE(os.stat(mark.file.parent).st_mode) == 0o700


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made is an `OSError`."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        bookmark(tmp_path / "file").write(HERE)


def test_state_folder(tmp_path: Path) -> None:
    """The folder follows XDG or is in the home folder; a relative XDG path is ignored."""
    assert state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "chatify-stream"
    home = Path.home() / ".local" / "state" / "chatify-stream"
    assert state_folder({}) == home
    assert state_folder({"XDG_STATE_HOME": ""}) == home
    assert state_folder({"XDG_STATE_HOME": "state"}) == home

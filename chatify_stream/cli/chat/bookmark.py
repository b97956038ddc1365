"""The position of the last message that a user has seen in a room, saved between runs.

A position is written after its message was shown, never before. A process that is killed at any
moment therefore loses no message, but may show a message twice. Each server, room and user has one
small file, which is replaced atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ...rooms.position import Position


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for the state of programs of this user.

    Raises `RuntimeError` if the user has no home folder.
    """
    if os.name == "nt" and (local := environ.get("LOCALAPPDATA")):
        base = Path(local)
    elif Path(state := environ.get("XDG_STATE_HOME", "")).is_absolute():
        base = Path(state)
    else:
        base = Path.home() / ".local" / "state"
    return base / "chatify-stream"


class Bookmark:
    """The saved position of one user in one room of one server."""

    def __init__(self, folder: Path, server: str, room: str, user: str) -> None:
        self._key = {"server": server, "room": room, "user": user}
        # File names allow fewer characters than the names of rooms and users.
        digest = hashlib.sha256(json.dumps(self._key).encode()).hexdigest()
        self.file = folder / f"{digest[:32]}.json"

    def read(self) -> Position | None:
        """Return the position, or None for a missing or damaged file. Raises `OSError`."""
        try:
            entry = json.loads(self.file.read_bytes())
            return Position.parse(str(entry["position"]))
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def write(self, position: Position) -> None:
        """Save a position. Raises `OSError`."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({**self._key, "position": str(position)}, ensure_ascii=False)
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.file)

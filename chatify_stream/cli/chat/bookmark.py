"""Where a user has read to in a room, kept from one run to the next.

Rules: a position is written after its message was shown, never before, so that a process killed
at any moment loses no message; it may show one twice. One small file for each server, room and
user, replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ...rooms.position import Position

__all__ = ["Bookmark", "state_folder"]


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the programs of this user keep what they remember. Raises `RuntimeError` for none."""
    if os.name == "nt" and (local := environ.get("LOCALAPPDATA")):
        base = Path(local)
    elif Path(state := environ.get("XDG_STATE_HOME", "")).is_absolute():
        base = Path(state)
    else:
        base = Path.home() / ".local" / "state"
    return base / "chatify-stream"


class Bookmark:
    """The position of one user in one room of one server."""

    def __init__(self, folder: Path, server: str, room: str, user: str) -> None:
        self._about = {"server": server, "room": room, "user": user}
        # Names of rooms and users may be longer, and of other characters, than those of files.
        digest = hashlib.sha256(json.dumps(self._about).encode()).hexdigest()
        self.file = folder / f"{digest[:32]}.json"

    def read(self) -> Position | None:
        """None when there is none, or what there is makes no sense. Raises `OSError`."""
        try:
            entry = json.loads(self.file.read_bytes())
            return Position.parse(str(entry["position"]))
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def write(self, position: Position) -> None:
        """Raises `OSError`."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({**self._about, "position": str(position)}, ensure_ascii=False)
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.file)

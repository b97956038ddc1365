"""A place in a room: an epoch, and an offset within it.

Rules: the messages of a room have the offsets 1, 2, 3 and so on within an epoch; offset 0 is
before the first. A new epoch means that the log was lost or reset, so positions of different
epochs cannot be compared. As text a position is `EPOCH/OFFSET`.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

__all__ = ["MAX_OFFSET", "Position", "new_epoch"]

MAX_OFFSET = 2**63 - 1
"""SQLite and Redis have no larger integers."""

_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_OFFSET = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Position(NamedTuple):
    """After the message with this offset."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises `ValueError` for what is no position."""
        epoch, slash, offset = text.rpartition("/")
        if not slash or not _EPOCH.fullmatch(epoch) or not _OFFSET.fullmatch(offset):
            raise ValueError(f"{text!r} is not a position; use EPOCH/OFFSET as the server sent it")
        if int(offset) > MAX_OFFSET:
            raise ValueError(f"{text!r} is not a position; its offset is larger than {MAX_OFFSET}")
        return cls(epoch, int(offset))


def new_epoch() -> str:
    """One that no other log has had."""
    return secrets.token_urlsafe(9)

"""A position in the log of a room: an epoch, and an offset within the epoch.

Within an epoch, the messages of a room have the offsets 1, 2, 3 and so on. A new epoch means that
the log was lost or reset. Offsets of different epochs cannot be compared.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

MAX_OFFSET = 2**63 - 1
"""The largest integer of SQLite and Redis."""
_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_OFFSET = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Position(NamedTuple):
    """The position directly after the message with this offset; offset 0 is before the first.

    A client that resumes at a position receives the messages after it. Two positions can only be
    compared if their epochs are equal. `str()` returns the text form `EPOCH/OFFSET`, which is used
    in metadata.
    """

    epoch: str
    """A random text of letters, digits, `-` and `_`; never empty in a position of a client."""
    offset: int
    """From 0 to `MAX_OFFSET`."""

    def __str__(self) -> str:
        return f"{self.epoch}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position of a text `EPOCH/OFFSET`. Raises `ValueError` for other texts."""
        epoch, slash, offset = text.rpartition("/")
        if not slash or not _EPOCH.fullmatch(epoch) or not _OFFSET.fullmatch(offset):
            raise ValueError(f"{text!r} is not a position; use EPOCH/OFFSET as the server sent it")
        if int(offset) > MAX_OFFSET:
            raise ValueError(f"{text!r} is not a position; its offset is larger than {MAX_OFFSET}")
        return cls(epoch, int(offset))


def can_resume(after: Position, newest: Position, oldest: int) -> bool:
    """Return whether every message after `after` is still in the log.

    `newest` is the newest position of the log, `oldest` the offset of its oldest message. A
    position of another epoch, or after `newest`, cannot be resumed.
    """
    return after.epoch == newest.epoch and oldest - 1 <= after.offset <= newest.offset


def new_epoch() -> str:
    return secrets.token_urlsafe(9)

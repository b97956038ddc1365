"""Where a session begins to read its room: whole or nothing. No I/O."""

from __future__ import annotations

from ..position import Position

__all__ = ["can_resume"]


def can_resume(after: Position, newest: Position, oldest: int) -> bool:
    """Whether every message after `after` is still in the log.

    `newest` is the newest position of the log, `oldest` the offset of its oldest message. A
    position of another epoch, or one that lies in the future, cannot be resumed.
    """
    return after.epoch == newest.epoch and oldest - 1 <= after.offset <= newest.offset

"""What happens to a client in a room, as its program is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..rooms.position import Position

__all__ = ["Connected", "Event", "Gap", "Joined", "Left", "Message", "Reconnecting"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the room."""

    position: Position
    sender: str
    """The user who sent it."""
    text: str
    id: str
    """What its sender's client called it; may be empty."""
    sent_at: datetime
    """When the server took it, in UTC, by the server's clock."""
    is_own: bool
    """This user has sent it, from here or from elsewhere."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A user has come to the room: nobody's second session, and never oneself."""

    user: str


@dataclass(frozen=True, slots=True)
class Left:
    """A user has left the room, with their last session."""

    user: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The client is in the room: at first, and whenever it has come back.

    Joins and leaves between two sessions are not told.
    """

    session_id: str
    position: Position
    """Of the newest message of the room at that moment."""
    recovered: bool | None
    """Every message since the last one that was seen follows. None when there was none."""


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The session, or an attempt to come back, has failed with `error`.

    Attempt number `attempt`, of those in a row, is made in `delay` seconds.
    """

    attempt: int
    delay: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may have been missed: from `expected` on, up to `newest`.

    What follows is everything that the room has after that. The epochs differ when its log was
    lost or reset.
    """

    expected: Position
    newest: Position


Event = Message | Joined | Left | Connected | Reconnecting | Gap

"""The events that a `RoomClient` yields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..rooms.position import Position


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the room. Each message is one event, in the order of the offsets."""

    position: Position
    sender: str
    """The user name of the sender."""
    text: str
    id: str
    """The id that the sender's client gave the message; may be empty."""
    sent_at: datetime
    """The time at which the server received the message, in UTC, by the server's clock."""
    is_own: bool
    """True if the sender has the same user name as this client."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Another user's first session has joined the room. Needs `presence=True`."""

    user: str


@dataclass(frozen=True, slots=True)
class Left:
    """Another user's last session has left the room. Needs `presence=True`."""

    user: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The client is in the room: the first event, and again after each reconnection.

    Joins and leaves that happened between two sessions are not reported.
    """

    session_id: str
    position: Position
    """The position of the room's newest message when the session began."""
    recovered: bool | None
    """True if every message after the last seen one follows; None if none was seen before."""


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """A session, or an attempt to reconnect, has failed; another attempt follows."""

    attempt: int
    """The number of the next attempt. It starts at 1 again after a stable session."""
    delay: float
    """Seconds until the next attempt."""
    error: Exception
    """The reason of the failure."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may have been missed, because the room no longer keeps them.

    The events that follow are all messages that the room has after the gap.
    """

    expected: Position
    """The position of the first message that may be missing."""
    newest: Position
    """The position of the last one. Its epoch differs if the log was lost or reset."""


Event = Message | Joined | Left | Connected | Reconnecting | Gap

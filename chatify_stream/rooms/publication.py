"""Messages of a room: drafts, publications in the log, and the receipts of publishing. No I/O."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .position import Position


class Draft(NamedTuple):
    """A message that has no offset yet."""

    user: str
    text: str
    id: str
    """The id that the sender gave the message. A message with an empty id is never a duplicate."""
    sent_at_ms: int
    """The time at which the server received the message, in Unix milliseconds."""


class Publication(NamedTuple):
    """A message in the log of a room."""

    offset: int
    user: str
    text: str
    id: str
    sent_at_ms: int


class Outcome(Enum):
    """The result of publishing a draft."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    """The user had published the id with the same text. The log is unchanged."""
    CONFLICT = "conflict"
    """The user had published the id with another text. The log is unchanged."""


class Receipt(NamedTuple):
    """The result of publishing a draft, and the position of the first publication of its id."""

    outcome: Outcome
    position: Position
    sent_at_ms: int


class LogPage(NamedTuple):
    """A part of the log of a room."""

    newest: Position
    """The position of the newest message of the whole log."""
    oldest: int
    """The offset of the oldest kept message; `newest.offset + 1` if the log has no messages."""
    publications: list[Publication]
    """Messages with contiguous offsets, in order."""

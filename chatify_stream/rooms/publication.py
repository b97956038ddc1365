"""Messages of a room: before they are in its log, in it, and what became of them. No I/O."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .position import Position

__all__ = ["Draft", "LogPage", "Outcome", "Publication", "Receipt"]


class Draft(NamedTuple):
    """A message that asks for its place in a room."""

    user: str
    text: str
    id: str
    """What its sender calls it; empty for a message that is never a duplicate."""
    sent_at_ms: int
    """When the server took it, in milliseconds since 1970, UTC."""


class Publication(NamedTuple):
    """A message in the log of a room."""

    offset: int
    user: str
    text: str
    id: str
    sent_at_ms: int


class Outcome(Enum):
    """What became of a draft."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    """Its user had published its id, with the same text; nothing new is in the log."""
    CONFLICT = "conflict"
    """Its user had published its id with another text; nothing new is in the log."""


class Receipt(NamedTuple):
    """What became of a draft, and where it is; where its id was first published, if before."""

    outcome: Outcome
    position: Position
    sent_at_ms: int


class LogPage(NamedTuple):
    """What was read from the log of a room."""

    newest: Position
    """Of the whole log: its epoch, and the offset of its newest message."""
    oldest: int
    """The offset of the oldest message that is kept; `newest.offset + 1` when none is."""
    publications: list[Publication]
    """In the order of their offsets, which are contiguous."""

"""What happens in a room, as lines for people.

Rules: no text and no name of others gets into a line but through `safe_text`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from ...client import Event, Gap, Joined, Left, Message
from ..output import safe, safe_lines

__all__ = ["COLORS", "INDENT", "Line", "Lines", "color_of", "gap_text", "notice", "problem"]

COLORS = (
    "#d75f5f",
    "#d75f00",
    "#af5f00",
    "#878700",
    "#5f8700",
    "#008700",
    "#00875f",
    "#008787",
    "#0087d7",
    "#5f5fff",
    "#875fd7",
    "#af5fd7",
    "#d700af",
    "#d7005f",
)
"""Of the 256 that terminals have; each at a contrast of 3.6 and more to black and to white."""


def color_of(name: str) -> str:
    """One of `COLORS`, the same in every process."""
    return COLORS[zlib.crc32(name.encode()) % len(COLORS)]


INDENT = len("12:03 ")
"""Cells before the name, and before each row of a text but the first."""


class Line(NamedTuple):
    """One line, or several where a text has several; not broken into rows yet."""

    time: str
    """Empty where it does not matter."""
    name: str
    """Of who says it; empty for what nobody says."""
    name_style: str
    texts: Sequence[str]
    style: str


def notice(text: str, time: str = "") -> Line:
    """What nobody says, dimmed."""
    return Line(time, "", "", safe_lines(text), "class:dim")


def problem(text: str) -> Line:
    """What went wrong."""
    return Line("", "", "", safe_lines(text), "class:problem")


class Lines:
    """Makes lines, and says which day it is where that is not clear."""

    def __init__(self, today: date) -> None:
        self._day = today

    def of(self, events: Iterable[Event], now: datetime) -> Iterator[Line]:
        """The lines of what has happened, or was heard of, at `now`."""
        for event in events:
            match event:
                case Message():
                    yield from self._message(event)
                case Joined():
                    yield notice(f"{event.user} has joined", _time(now))
                case Left():
                    yield notice(f"{event.user} has left", _time(now))
                case Gap():
                    yield notice(gap_text(event))

    def _message(self, message: Message) -> Iterator[Line]:
        sent_at = _local(message.sent_at)
        if sent_at.date() != self._day:
            self._day = sent_at.date()
            yield notice(f"{self._day:%A}, {self._day.day} {self._day:%B %Y}")
        style = color_of(message.sender) + (" bold" if message.is_own else "")
        yield Line(_time(sent_at), safe(message.sender), style, safe_lines(message.text), "")


def gap_text(gap: Gap) -> str:
    if gap.expected.epoch != gap.newest.epoch:
        return "the room has begun anew: what was in it is lost"
    missed = gap.newest.offset - gap.expected.offset + 1
    what = "1 message was" if missed == 1 else f"{missed} messages were"
    return f"{what} missed, which the room does not keep any more"


def _local(when: datetime) -> datetime:
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):  # at the ends of what this machine knows of
        return when


def _time(when: datetime) -> str:
    return f"{when:%H:%M}"

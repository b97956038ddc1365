"""Format the events of a room as lines for people.

Texts and names from other users are escaped (see `cli.output`). A user name has the same color in
every process, readable on dark and on light backgrounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from ...client import Event, Gap, Joined, Left, Message
from ..output import safe, safe_lines

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
"""Colors of the 256-color palette, with a contrast of at least 3.6 to black and to white."""


def color_of(name: str) -> str:
    """Return one of `COLORS` for a user name, the same in every process."""
    return COLORS[zlib.crc32(name.encode()) % len(COLORS)]


INDENT = len("12:03 ")
"""Cells before the name, and before each further row of a text."""


class Line(NamedTuple):
    """A message or notice, possibly of several lines; not yet wrapped into rows."""

    time: str
    """Empty if the line has no time."""
    name: str
    """The sender; empty for a notice."""
    name_style: str
    texts: Sequence[str]
    style: str


def notice(text: str, time: str = "") -> Line:
    """Return a line of the program itself, dimmed."""
    return Line(time, "", "", safe_lines(text), "class:dim")


def problem(text: str) -> Line:
    """Return a line that reports an error."""
    return Line("", "", "", safe_lines(text), "class:problem")


class Lines:
    """Formats events as lines, and adds the date when it changes."""

    def __init__(self, today: date) -> None:
        self._day = today

    def of(self, events: Iterable[Event], now: datetime) -> Iterator[Line]:
        """Yield the lines of events that were received at `now`."""
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
    """Return a sentence about messages that cannot be delivered."""
    if gap.expected.epoch != gap.newest.epoch:
        return "the room was reset; its earlier messages are lost"
    missed = gap.newest.offset - gap.expected.offset + 1
    count = "1 message was" if missed == 1 else f"{missed} messages were"
    return f"{count} missed; the room no longer stores {'it' if missed == 1 else 'them'}"


def _local(when: datetime) -> datetime:
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):  # outside the range of times of this machine
        return when


def _time(when: datetime) -> str:
    return f"{when:%H:%M}"

"""Events of a room as lines for people."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from chatify_stream.cli.chat.lines import Line, Lines, color_of, notice, problem
from chatify_stream.client import Connected, Event, Gap, Joined, Left, Message, Reconnecting
from chatify_stream.errors import UsageError
from chatify_stream.rooms.position import Position

TODAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, 3, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 20, 5)
DIM = "class:dim"


@pytest.fixture(autouse=True)
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a time zone that differs from the server's."""
    monkeypatch.setitem(os.environ, "TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def message(text: str, sender: str = "ada", sent_at: datetime = NOON, own: bool = False) -> Message:
    return Message(Position("e", 1), sender, text, "id", sent_at, own)


def lines(*events: Event) -> list[Line]:
    return list(Lines(TODAY).of(events, NOW))


def test_message() -> None:
    """A message has the local time, and its sender in their colour."""
    assert lines(message("hello")) == [Line("20:03", "ada", color_of("ada"), ["hello"], "")]


def test_own_message() -> None:
    """The user's own name is bold."""
    assert lines(message("hello", own=True))[0].name_style == f"{color_of('ada')} bold"


def test_hostile_message() -> None:
    """Texts and names from other users are escaped; only line ends start new lines."""
    [line] = lines(message("a\x1b[2J\nb\r\n\tc\x07", sender="e\u202evil"))
    assert line.name == r"e\u202evil"
    assert line.texts == [r"a\x1b[2J", "b", r"    c\x07"]


def test_presence() -> None:
    """Joins and leaves are dimmed, with the time at which they were received."""
    assert lines(Joined("ada"), Left("e\u202evil")) == [
        Line("20:05", "", "", ["ada has joined"], DIM),
        Line("20:05", "", "", [r"e\u202evil has left"], DIM),
    ]


@pytest.mark.parametrize(
    ("expected", "newest", "text"),
    [
        (
            Position("e", 3),
            Position("e", 3),
            "1 message was missed; the room no longer stores it",
        ),
        (
            Position("e", 3),
            Position("e", 9),
            "7 messages were missed; the room no longer stores them",
        ),
        (Position("e", 3), Position("f", 9), "the room was reset; its earlier messages are lost"),
    ],
)
def test_gap(expected: Position, newest: Position, text: str) -> None:
    """A gap states how many messages were missed, or that all were lost."""
    assert lines(Gap(expected, newest)) == [Line("", "", "", [text], DIM)]


def test_quiet() -> None:
    """Events of the connection produce no line."""
    error = UsageError("away")
    assert lines(Connected("s", Position("e", 1), True), Reconnecting(1, 0.5, error)) == []


def test_days() -> None:
    """The date is shown before its first message, unless it is the date of the start."""
    before = datetime(2026, 2, 27, 17, 0, tzinfo=UTC)  # which is the 28th there
    said = lines(
        message("a"),
        message("b", sent_at=before),
        message("c", sent_at=before),
        message("d"),
    )
    assert [line.texts[0] for line in said] == [
        "a",
        "Saturday, 28 February 2026",
        "b",
        "c",
        "Sunday, 1 March 2026",
        "d",
    ]


def test_no_such_time() -> None:
    """A time that is none here is shown as the server has it."""
    [_, line] = lines(message("a", sent_at=datetime.max.replace(tzinfo=UTC)))
    assert line.time == "23:59"


def test_notice_and_problem() -> None:
    """Lines of the program are escaped too, because they may quote other users."""
    assert notice("in \x1b") == Line("", "", "", [r"in \x1b"], DIM)
    assert problem("no\n\x1b") == Line("", "", "", ["no", r"\x1b"], "class:problem")

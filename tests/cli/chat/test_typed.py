"""Messages and commands."""

from __future__ import annotations

import pytest

from chatify_stream.cli.chat.typed import (
    COMMANDS,
    Help,
    History,
    Mistake,
    Quit,
    Say,
    SwitchRoom,
    Typed,
    Who,
    parse,
)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("hello", Say("hello")),
        (" /who", Say(" /who")),
        ("1/2", Say("1/2")),
        ("//etc/hosts", Say("/etc/hosts")),
        ("//", Say("/")),
        ("a\n/quit", Say("a\n/quit")),
        ("/who", Who()),
        ("/who  ", Who()),
        ("/history", History(None)),
        ("/history 5", History(5)),
        ("/history  1000 ", History(1000)),
        ("/room tea", SwitchRoom("tea")),
        ("/room  tea time ", SwitchRoom("tea time")),
        ("/room 客厅", SwitchRoom("客厅")),
        ("/help", Help()),
        ("/quit", Quit()),
    ],
)
def test_parse(text: str, typed: Typed) -> None:
    """One slash starts a command, two slashes a message; anything else is a message."""
    assert parse(text) == typed


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("/", "/: unknown command; the commands are /who, "),
        (
            "/whom",
            "/whom: unknown command; the commands are /who, /history [N], /room NAME, /help, "
            "/quit. To send a message that starts with a slash, type two slashes",
        ),
        ("/etc/hosts is empty", "/etc/hosts: unknown command; the commands are "),
        ("/who ada", "/who: unexpected text after the command"),
        ("/quit now", "/quit: unexpected text after the command"),
        ("/history all", "/history: 'all' is not allowed; enter a number from 1 to 1000"),
        ("/history 0", "/history: '0'"),
        ("/history 1001", "/history: '1001'"),
        ("/history " + "9" * 5000, "/history: '99"),
        ("/history ５", "/history: '５'"),
        ("/history -1", "/history: '-1'"),
        ("/room", "/room: the name of the room is missing; enter /room NAME"),
        ("/room " + "r" * 129, "the room name has 129 characters; at most 128 are allowed"),
        ("/room a\tb", r"the room name 'a\tb' has the control character U+0009, which is not"),
    ],
)
def test_mistakes(text: str, mistake: str) -> None:
    """An invalid command returns the problem and the fix."""
    typed = parse(text)
    assert isinstance(typed, Mistake)
    assert typed.text.startswith(mistake)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    """Each command in the list is recognized."""
    assert not isinstance(parse(command.replace("[N]", "3")), (Mistake, Say))

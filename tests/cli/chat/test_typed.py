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
    """One slash begins a command, two a message; anything else is a message."""
    assert parse(text) == typed


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("/", "there is no /; there are /who, "),
        ("/whom", "there is no /whom; there are /who, /history [N], /room NAME, /help, /quit. Two"),
        ("/etc/hosts is empty", "there is no /etc/hosts; there are "),
        ("/who ada", "/who takes nothing behind it"),
        ("/quit now", "/quit takes nothing behind it"),
        ("/history all", "/history takes a number of messages from 1 to 1000, not 'all'"),
        ("/history 0", "/history takes a number of messages from 1 to 1000, not '0'"),
        ("/history 1001", "/history takes a number of messages from 1 to 1000, not '1001'"),
        ("/history " + "9" * 5000, "/history takes a number of messages from 1 to 1000, not '99"),
        ("/history ５", "/history takes a number of messages from 1 to 1000, not '５'"),
        ("/history -1", "/history takes a number of messages from 1 to 1000, not '-1'"),
        ("/room", "/room takes the name of the room to go to"),
        ("/room " + "r" * 129, "the room name has 129 characters; at most 128 are allowed"),
        ("/room a\tb", r"the room name 'a\tb' has the control character U+0009, which is not"),
    ],
)
def test_mistakes(text: str, mistake: str) -> None:
    """What is no command is answered with what is wrong and what would be right."""
    typed = parse(text)
    assert isinstance(typed, Mistake)
    assert typed.text.startswith(mistake)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    """Each command of the list is one."""
    assert not isinstance(parse(command.replace("[N]", "3")), (Mistake, Say))

"""Messages and commands."""

from __future__ import annotations

import pytest

from chatify_stream.cli.chat.typed import COMMANDS, DEFAULT_HISTORY, Typed, parse


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("hello", Typed("say", "hello")),
        (" /who", Typed("say", " /who")),
        ("1/2", Typed("say", "1/2")),
        ("//etc/hosts", Typed("say", "/etc/hosts")),
        ("//", Typed("say", "/")),
        ("a\n/quit", Typed("say", "a\n/quit")),
        ("/who", Typed("who")),
        ("/who  ", Typed("who")),
        ("/history", Typed("history", number=DEFAULT_HISTORY)),
        ("/history 5", Typed("history", number=5)),
        ("/history  1000 ", Typed("history", number=1000)),
        ("/room tea", Typed("room", "tea")),
        ("/room  tea time ", Typed("room", "tea time")),
        ("/room 客厅", Typed("room", "客厅")),
        ("/help", Typed("help")),
        ("/quit", Typed("quit")),
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
    assert typed.kind == "mistake"
    assert typed.text.startswith(mistake)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    """Each command in the list is recognized."""
    assert parse(command.replace("[N]", "3")).kind not in ("mistake", "say")

"""Parse an entered text: a message, or a command that starts with a slash."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...rooms import check_name

COMMANDS = {
    "/who": "list the users in the room",
    "/history [N]": "show the newest N messages again",
    "/room NAME": "move to another room",
    "/help": "show this list",
    "/quit": "leave; or press Ctrl-D, or Ctrl-C on an empty line",
}
"""Usage and meaning of each command."""

DEFAULT_HISTORY = 20
MAX_HISTORY = 1000


class Typed(NamedTuple):
    """A parsed text. An invalid command is a `mistake`."""

    kind: Literal["say", "who", "history", "room", "help", "quit", "mistake"]
    text: str = ""
    """The message, the room, or the problem and the fix."""
    number: int = 0
    """Messages of a history."""


def parse(text: str) -> Typed:
    """Parse an entered text. Two slashes start a message that starts with one slash."""
    if not text.startswith("/"):
        return Typed("say", text)
    if text.startswith("//"):
        return Typed("say", text[1:])
    name, _, argument = text.partition(" ")
    argument = argument.strip()
    match name:
        case "/history":
            return _history(argument)
        case "/room" if not argument:
            return Typed("mistake", "/room: the name of the room is missing; enter /room NAME")
        case "/room":
            try:
                return Typed("room", check_name("room", argument))
            except ValueError as error:
                return Typed("mistake", str(error))
        case "/who" | "/help" | "/quit" if argument:
            problem = f"{name}: unexpected text after the command; enter only {name}"
            return Typed("mistake", problem)
        case "/who":
            return Typed("who")
        case "/help":
            return Typed("help")
        case "/quit":
            return Typed("quit")
    return Typed(
        "mistake",
        f"{name}: unknown command; the commands are {', '.join(COMMANDS)}. "
        "To send a message that starts with a slash, type two slashes",
    )


def _history(argument: str) -> Typed:
    if not argument:
        return Typed("history", number=DEFAULT_HISTORY)
    if argument.isascii() and argument.isdigit() and 0 < int(argument[:9]) <= MAX_HISTORY:
        return Typed("history", number=int(argument))
    problem = f"{argument!r} is not allowed; enter a number from 1 to {MAX_HISTORY}"
    return Typed("mistake", f"/history: {problem}")

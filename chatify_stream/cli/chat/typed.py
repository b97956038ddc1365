"""Parse an entered text: a message, or a command that starts with a slash."""

from __future__ import annotations

from dataclasses import dataclass

from ...rooms import check_name

COMMANDS = {
    "/who": "list the users in the room",
    "/history [N]": "show the newest N messages again",
    "/room NAME": "move to another room",
    "/help": "show this list",
    "/quit": "leave; or press Ctrl-D, or Ctrl-C on an empty line",
}
"""Usage and meaning of each command."""

MAX_HISTORY = 1000
SLASH = "/"


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Who:
    pass


@dataclass(frozen=True)
class History:
    count: int | None
    """None if the user entered no number."""


@dataclass(frozen=True)
class SwitchRoom:
    room: str


@dataclass(frozen=True)
class Help:
    pass


@dataclass(frozen=True)
class Quit:
    pass


@dataclass(frozen=True)
class Mistake:
    """An invalid command; `text` states the problem and the fix."""

    text: str


Typed = Say | Who | History | SwitchRoom | Help | Quit | Mistake


def parse(text: str) -> Typed:
    """Parse an entered text. Two slashes start a message that starts with one slash."""
    if not text.startswith(SLASH):
        return Say(text)
    if text.startswith(SLASH * 2):
        return Say(text[1:])
    name, _, argument = text.partition(" ")
    argument = argument.strip()
    match name:
        case "/history":
            return _history(argument)
        case "/room":
            return _switch(argument)
        case "/who" | "/help" | "/quit" if argument:
            return Mistake(f"{name}: unexpected text after the command; enter only {name}")
        case "/who":
            return Who()
        case "/help":
            return Help()
        case "/quit":
            return Quit()
    return Mistake(
        f"{name}: unknown command; the commands are {', '.join(COMMANDS)}. "
        "To send a message that starts with a slash, type two slashes"
    )


def _history(argument: str) -> Typed:
    if not argument:
        return History(None)
    if argument.isascii() and argument.isdigit() and 0 < int(argument[:9]) <= MAX_HISTORY:
        return History(int(argument))
    return Mistake(f"/history: {argument!r} is not allowed; enter a number from 1 to {MAX_HISTORY}")


def _switch(argument: str) -> Typed:
    if not argument:
        return Mistake("/room: the name of the room is missing; enter /room NAME")
    try:
        return SwitchRoom(check_name("room", argument))
    except ValueError as error:
        return Mistake(str(error))

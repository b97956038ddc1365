"""What a user typed: a message, or a command that begins with a slash."""

from __future__ import annotations

from dataclasses import dataclass

from ...rooms import check_name

__all__ = [
    "COMMANDS",
    "Help",
    "History",
    "Mistake",
    "Quit",
    "Say",
    "SwitchRoom",
    "Typed",
    "Who",
    "parse",
]

COMMANDS = {
    "/who": "who is here",
    "/history [N]": "the newest N messages again",
    "/room NAME": "leave this room for another",
    "/help": "this list",
    "/quit": "leave; so do Ctrl-D, and Ctrl-C on an empty line",
}
"""How each is used, and what it does."""

MOST_HISTORY = 1000
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
    """None when the user gave no number."""


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
    """`text` says what was wrong, and what would be right."""

    text: str


Typed = Say | Who | History | SwitchRoom | Help | Quit | Mistake


def parse(text: str) -> Typed:
    """A slash begins a command, two begin a message that has one of them."""
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
            return Mistake(f"{name} takes nothing behind it")
        case "/who":
            return Who()
        case "/help":
            return Help()
        case "/quit":
            return Quit()
    return Mistake(
        f"there is no {name}; there are {', '.join(COMMANDS)}. "
        "Two slashes begin a message that begins with one"
    )


def _history(argument: str) -> Typed:
    if not argument:
        return History(None)
    if argument.isascii() and argument.isdigit() and 0 < int(argument[:9]) <= MOST_HISTORY:
        return History(int(argument))
    return Mistake(
        f"/history takes a number of messages from 1 to {MOST_HISTORY}, not {argument!r}"
    )


def _switch(argument: str) -> Typed:
    if not argument:
        return Mistake("/room takes the name of the room to go to")
    try:
        return SwitchRoom(check_name("room", argument))
    except ValueError as error:
        return Mistake(str(error))

"""What a client says of the room it wants, in the metadata of its call. No I/O.

Each key has a twin with `-bin` behind it, whose bytes are UTF-8, because other metadata is ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...auth import Identity
from ...rooms import EndingReason, check_name
from ...rooms.position import Position
from .session_end import EndedError

__all__ = [
    "EVENTS",
    "JoinRequest",
    "Permission",
    "permission_of",
    "read_join",
    "room_named",
    "text_metadata",
    "wants_room",
]


class Permission(NamedTuple):
    """Of one session."""

    user: str | None
    """Its name; None when nobody has said it."""
    may_send: bool = True
    may_read: bool = True


def permission_of(identity: object, join: JoinRequest) -> Permission:
    """Raises `EndedError` for a session that may not be."""
    if not isinstance(identity, Identity):
        return Permission(join.user)
    user, grants = identity.user, identity.grants
    if join.user not in (None, user):
        raise EndedError(
            EndingReason.FORBIDDEN(
                why=f"chat-user is not who calls: that is {user!r}; send that, or no chat-user"
            )
        )
    if not grants.allows("join", join.room):
        raise EndedError(
            EndingReason.FORBIDDEN(
                why=f"{user!r} may not join the room {join.room!r}: that takes the right join there"
            )
        )
    return Permission(user, grants.allows("send", join.room), grants.allows("read", join.room))


ROOM, USER, RESUME, HISTORY, EVENT_NAMES = (
    "chat-room",
    "chat-user",
    "chat-resume",
    "chat-history",
    "chat-events",
)

PRESENCE, USERS = EVENTS = ("presence", "users")
"""`presence`: joins and leaves from now on; `users`: a join of each user who is there already."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class JoinRequest(NamedTuple):
    """What a client asked for."""

    room: str
    user: str | None
    """None when it did not say."""
    resume: Position | None
    history: int
    """How many of the newest messages to send first."""
    wants_presence: bool
    wants_users: bool


def wants_room(metadata: Mapping[str, str | bytes]) -> bool:
    """Whether the call is for a room at all."""
    return ROOM in metadata or f"{ROOM}-bin" in metadata


def read_join(metadata: Mapping[str, str | bytes]) -> JoinRequest:
    """Raises `ValueError`, which says what is wrong and what would be right."""
    room = check_name("room", _text(metadata, ROOM) or "")
    user = _text(metadata, USER)
    if user is not None:
        check_name("user", user)
    resume_text, history_text = _text(metadata, RESUME), _text(metadata, HISTORY)
    if resume_text is not None and history_text is not None:
        raise ValueError(f"{RESUME} and {HISTORY} do not go together: send one of them")
    resume = None if resume_text is None else _position(resume_text)
    history = 0 if history_text is None else _number(HISTORY, history_text)
    events = _events(_text(metadata, EVENT_NAMES) or "")
    return JoinRequest(room, user, resume, history, PRESENCE in events, USERS in events)


def room_named(metadata: Mapping[str, str | bytes]) -> str | None:
    """The room that a call asks for, whether there can be one or not; None when it is not text."""
    try:
        return _text(metadata, ROOM)
    except ValueError:
        return None


def text_metadata(key: str, text: str) -> dict[str, str | bytes]:
    """A text as metadata: under its key, or under its twin where it is not ASCII."""
    return {key: text} if text.isascii() else {f"{key}-bin": text.encode()}


def _text(metadata: Mapping[str, str | bytes], key: str) -> str | None:
    """The value of a key or of its twin; None for neither."""
    plain, binary = metadata.get(key), metadata.get(f"{key}-bin")
    if isinstance(plain, str) and not plain.isascii():
        raise ValueError(f"{key} is not ASCII; send it as UTF-8 in {key}-bin")
    if binary is None:
        return None if plain is None else str(plain)
    try:
        text = bytes(binary).decode() if not isinstance(binary, str) else binary
    except UnicodeDecodeError:
        raise ValueError(f"{key}-bin is not UTF-8") from None
    if plain is not None and plain != text:
        raise ValueError(f"{key} and {key}-bin differ: send one of them")
    return text


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError as error:
        raise ValueError(f"{RESUME}: {error}") from None


def _number(key: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{key} is a whole number of messages from 0 to 999999999, not {text!r}")
    return int(text)


def _events(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",")} - {""}
    if unknown := names - set(EVENTS):
        raise ValueError(
            f"{EVENT_NAMES}: there is no {min(unknown)!r}; there are {', '.join(EVENTS)}, "
            "with commas between"
        )
    return names

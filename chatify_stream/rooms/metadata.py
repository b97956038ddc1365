"""The gRPC metadata of a room session: its keys, and how they are written and read. No I/O.

    call -> server      JoinRequest     chat-room, chat-user, chat-resume, chat-history, chat-events
    server -> client    JoinResponse    chat-session, chat-user, chat-epoch, chat-offset,
                                        chat-recovered (initial metadata)
    server -> client    trailers        chat-reconnect, chat-resume

Plain metadata is ASCII. Therefore each text key has a twin with the suffix `-bin`, which holds the
text as UTF-8. A sender uses the twin for text that is not ASCII; a receiver accepts both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import PeerProtocolError, Status
from .names import check_name
from .position import Position

Metadata = Mapping[str, str | bytes]
"""Received metadata. A multidict may be passed; the first value of a repeated key counts."""

ROOM = "chat-room"
USER = "chat-user"
RESUME = "chat-resume"
HISTORY = "chat-history"
EVENT_NAMES = "chat-events"
SESSION = "chat-session"
EPOCH = "chat-epoch"
OFFSET = "chat-offset"
RECOVERED = "chat-recovered"
RECONNECT = "chat-reconnect"

KEY_PREFIX = "chat-"
"""Keys with this prefix are reserved for this contract."""

PRESENCE, USERS = EVENTS = ("presence", "users")
"""Values of `chat-events`. `presence`: report joins and leaves; `users`: first, a join per user."""

MAX_HISTORY = 999_999_999
"""Maximum of `chat-history`, in messages; more than any room keeps."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class JoinRequest(NamedTuple):
    """What a call asks of a room."""

    room: str
    user: str | None = None
    """None if the client sends no name; the server then derives it from the token."""
    resume: Position | None = None
    """The position of the last message that the client has."""
    history: int = 0
    """Number of newest messages to send first; not with `resume`."""
    wants_presence: bool = False
    wants_users: bool = False

    def encode(self) -> list[tuple[str, str | bytes]]:
        """Return the metadata of the call. Sends `history` only without `resume`."""
        metadata = [_encode(ROOM, self.room)]
        if self.user is not None:
            metadata.append(_encode(USER, self.user))
        events = zip(EVENTS, (self.wants_presence, self.wants_users), strict=True)
        if wanted := ",".join(name for name, is_wanted in events if is_wanted):
            metadata.append((EVENT_NAMES, wanted))
        if self.resume is not None:
            metadata.append((RESUME, str(self.resume)))
        elif self.history:
            metadata.append((HISTORY, str(self.history)))
        return metadata

    @classmethod
    def decode(cls, metadata: Metadata) -> JoinRequest:
        """Read and check the metadata of a call.

        Raises `ValueError` for a missing or invalid value. The text is for the client: it names the
        key, the problem and the fix.
        """
        room = check_name("room", _decode(metadata, ROOM) or "")
        user = _decode(metadata, USER)
        if user is not None:
            check_name("user", user)
        resume_text, history_text = _decode(metadata, RESUME), _decode(metadata, HISTORY)
        if resume_text is not None and history_text is not None:
            raise ValueError(f"{RESUME} and {HISTORY} exclude each other; send one of them")
        resume = None if resume_text is None else _position(resume_text)
        history = 0 if history_text is None else _number(HISTORY, history_text)
        events = _events(_decode(metadata, EVENT_NAMES) or "")
        return cls(room, user, resume, history, PRESENCE in events, USERS in events)


class JoinResponse(NamedTuple):
    """The server's answer to a `JoinRequest`, sent as initial metadata when the session begins."""

    session_id: str
    newest: Position
    """The position of the newest message of the room."""
    recovered: bool
    """True if the session resumes: every message after the requested position follows."""
    user: str | None
    """The user name of the session; None from a server that does not send it."""

    def encode(self) -> dict[str, str | bytes]:
        return {
            SESSION: self.session_id,
            **dict([] if self.user is None else [_encode(USER, self.user)]),
            EPOCH: self.newest.epoch,
            OFFSET: str(self.newest.offset),
            RECOVERED: "true" if self.recovered else "false",
        }

    @classmethod
    def decode(cls, metadata: Metadata) -> JoinResponse:
        """Read the initial metadata of a session.

        Raises `PeerProtocolError`: with status UNIMPLEMENTED if the server has no rooms, with
        INTERNAL if it sent no valid position.
        """
        session_id, epoch, offset, recovered = (
            str(metadata.get(key, "")) for key in (SESSION, EPOCH, OFFSET, RECOVERED)
        )
        if not session_id:
            raise PeerProtocolError(
                Status.UNIMPLEMENTED,
                f"the server has no rooms: its response has no {SESSION}; use another target",
            )
        try:
            newest = Position.parse(f"{epoch}/{offset}")
        except ValueError as error:
            raise PeerProtocolError(
                Status.INTERNAL, f"the server sent an invalid room position: {error}"
            ) from error
        return cls(session_id, newest, recovered == "true", _decode_leniently(metadata, USER))


def encode_trailers(reconnect: bool, resume: Position | None = None) -> dict[str, str]:
    """Return the trailers that end a session.

    `reconnect` says whether reconnecting helps, `resume` where the next session may resume.
    """
    trailers = {RECONNECT: "yes" if reconnect else "no"}
    if resume is not None:
        trailers[RESUME] = str(resume)
    return trailers


def read_reconnect(trailers: Metadata) -> bool | None:
    """Return whether the server says that reconnecting helps, or None if it says nothing."""
    return {"yes": True, "no": False}.get(str(trailers.get(RECONNECT)))


def wants_room(metadata: Metadata) -> bool:
    """Return whether a call asks for a room. The request need not be valid."""
    return ROOM in metadata or f"{ROOM}-bin" in metadata


def requested_room(metadata: Metadata) -> str | None:
    """Return the room that a call asks for, unchecked, or None if it cannot be decoded."""
    try:
        return _decode(metadata, ROOM)
    except ValueError:
        return None


def _encode(key: str, text: str) -> tuple[str, str | bytes]:
    return (key, text) if text.isascii() else (f"{key}-bin", text.encode())


def _decode(metadata: Metadata, key: str) -> str | None:
    """Return the text of a key or its twin, or None if both are missing."""
    plain, binary = metadata.get(key), metadata.get(f"{key}-bin")
    if isinstance(plain, str) and not plain.isascii():
        raise ValueError(f"{key} is not ASCII; send it as UTF-8 in {key}-bin")
    if binary is None:
        return None if plain is None else str(plain)
    try:
        text = bytes(binary).decode() if not isinstance(binary, str) else binary
    except UnicodeDecodeError:
        raise ValueError(f"{key}-bin is not UTF-8; encode the text as UTF-8") from None
    if plain is not None and plain != text:
        raise ValueError(f"{key} and {key}-bin differ; send one of them")
    return text


def _decode_leniently(metadata: Metadata, key: str) -> str | None:
    """Return a text that the server sent. A client shows it, and need not reject a bad one."""
    plain, binary = metadata.get(key), metadata.get(f"{key}-bin")
    if isinstance(binary, bytes):
        return binary.decode("utf-8", "replace")
    return plain if isinstance(plain, str) else None


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError as error:
        raise ValueError(f"{RESUME}: {error}") from None


def _number(key: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(
            f"{key}: {text!r} is not a number of messages; "
            f"send a whole number from 0 to {MAX_HISTORY}"
        )
    return int(text)


def _events(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",")} - {""}
    if unknown := names - set(EVENTS):
        raise ValueError(
            f"{EVENT_NAMES}: {min(unknown)!r} is not an event; "
            f"send {' or '.join(EVENTS)}, separated by commas"
        )
    return names

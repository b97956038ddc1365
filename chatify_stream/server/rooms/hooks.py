"""The hooks of the embedding program: the events they receive, and their types.

`RoomOptions` takes three hooks: `on_join` decides who may join a room, `on_message` checks or
changes each message, `on_leave` learns that a session has ended. The server awaits each for at most
`RoomOptions.hook_timeout` seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..session import Peer


@dataclass(frozen=True)
class RoomJoin:
    """A client that asks to join a room."""

    room: str
    user: str
    """The user name of the session: from the token, or as the client sent it, or invented."""
    session_id: str
    peer: Peer
    """The address of the client, or of the proxy in front of it."""
    metadata: Mapping[str, str | bytes]
    """The metadata of the call: text, or bytes for keys that end in `-bin`."""
    identity: Any = None
    """The `Identity` of an authenticated caller; None if authentication is off."""


@dataclass(frozen=True)
class RoomMessage:
    """A message that a client asks to publish."""

    room: str
    user: str
    session_id: str
    text: str
    id: str
    """The client's id of the message, or ""."""


@dataclass(frozen=True)
class RoomLeave:
    """A session that has ended, for any reason, after its join was allowed."""

    room: str
    user: str
    session_id: str


JoinHook = Callable[[RoomJoin], Awaitable[None]]
"""Called before a session joins its room.

To reject the client, raise `RefusedError` with a reason for it (status PERMISSION_DENIED). After
any other exception, or a timeout, the session ends UNAVAILABLE and the client may try again. The
call is cancelled if the client leaves.
"""

MessageHook = Callable[[RoomMessage], Awaitable[str | None]]
"""Called before a message is published. The next message of the session waits for it.

Returns the text to publish instead, or None to publish the text unchanged. To reject the message,
raise `RefusedError`: its reason is sent to the client, and the session continues. After any other
exception, or a timeout, the message is rejected with a general reason. The call is cancelled if the
session ends.
"""

LeaveHook = Callable[[RoomLeave], Awaitable[None]]
"""Called after a session has left its room. Exceptions are logged."""


class JoinedSession(Protocol):
    room: str
    user: str
    session_id: str


class RoomObserver:
    """Receives events of rooms. Every method does nothing; a subclass overrides some.

    The methods must not block. Their exceptions are logged.
    """

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        """Report a session that has joined its room.

        `recovered` says whether it resumes without a gap; None if it did not ask to resume.
        """

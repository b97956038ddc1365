"""The connection between a room session and its client, over any protocol, and the client's rights.

`RoomSession` decides which messages its client receives, and when the session ends. A `Transport`
receives the client's requests, sends encoded messages, and translates the errors of its protocol.
The session depends on nothing else of the protocol. `GrpcTransport` is the implementation for gRPC.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ...auth import Identity
from ...rooms import Disconnect, DisconnectReason, Encoding, SessionEnded
from ...rooms.metadata import JoinRequest, JoinResponse
from ...rooms.position import Position
from ..session import Peer

Request = tuple[str, str]
"""A message that a client asks to publish: its text, and its id or ""."""

TrySend = Callable[[bytes, int], bool]
"""The type of `Transport.send_nowait`."""


class Caller(NamedTuple):
    peer: Peer
    identity: Any
    """The `Identity` of an authenticated caller, else None."""
    metadata: Mapping[str, str | bytes]
    """The metadata or headers of the request, for `RoomOptions.on_join`."""


class SessionSummary(NamedTuple):
    room: str
    """Empty if the session ended before its room was known."""
    user: str
    session_id: str
    disconnect: Disconnect
    """Why the session ended, and whether reconnecting helps."""
    position: Position | None
    """Where the client can resume; None if the session sent no position."""


class Transport(Protocol):
    """Carries one session to one client.

    All methods are called in the event loop, by one `RoomSession`. When the client leaves without
    ending its requests, or the transport ends the session for a reason of its own, the transport
    cancels the task that runs `RoomSession.serve`.
    """

    @property
    def encoding(self) -> Encoding:
        """The encoding of messages. Sessions with the same encoding object share their bytes."""

    @property
    def caller(self) -> Caller:
        """The client that opened the session."""

    @property
    def is_half_closed(self) -> bool:
        """True once the client will send no more requests and all of them were received."""

    def read_join(self) -> JoinRequest:
        """Return the request to join a room. Raises `ValueError` with a text for the client."""

    async def send_joined(self, joined: JoinResponse) -> None:
        """Tell the client that its session has begun. Called once, before any message is sent."""

    @property
    def send_nowait(self) -> TrySend:
        """Send messages if the client accepts them at once.

        Called as `send_nowait(frames, count)` with `count` complete messages in this transport's
        encoding. Returns False, and sends nothing, if that would have to wait. Must not raise. This
        is a property so that an implementation can supply the method of the object below: every
        delivery makes this call.
        """

    def wait_writable(self, size: int) -> Awaitable[None]:
        """Wait until `size` bytes of messages can probably be sent at once.

        Cancelling loses nothing. Raises `SessionEnded` if the client has left or does not read.
        """

    def send(self, frames: bytes, count: int) -> Awaitable[None]:
        """Send `count` messages, and wait until the last byte has been written.

        Cancelling it may send a part of a message. The client then sees a broken connection. Raises
        `SessionEnded` if the client has left or does not read.
        """

    def receive(self) -> Awaitable[Sequence[Request]]:
        """Wait for requests, and return all that have arrived.

        Returns an empty sequence once the client will send no more. Cancelling it loses nothing.
        Raises errors of the transport, which `disconnect_for` explains.
        """

    def abort(self, disconnect: Disconnect) -> None:
        """End the session for this reason: cancel the task that runs `RoomSession.serve`."""

    def disconnect_for(self, error: BaseException) -> Disconnect | None:
        """Return the reason for a session that ends with `error`.

        Returns None unless this transport ended the session or raised the error.
        """

    def error_for(self, disconnect: Disconnect, cause: BaseException) -> Exception:
        """Return the error that `RoomSession.serve` raises for a session that ended early.

        `cause` is the error that ended the session.
        """

    def ended(self, summary: SessionSummary) -> None:
        """Report the end of the session to the client and the log. Called once, last."""


class Permission(NamedTuple):
    user: str | None
    """The name of the user; None if neither the client nor an authenticator gave one."""
    may_send: bool = True
    may_read: bool = True


def permission_of(identity: object, join: JoinRequest) -> Permission:
    """Return the rights of a session. Raises `SessionEnded` if it may not join."""
    if not isinstance(identity, Identity):
        return Permission(join.user)
    user, grants, room = identity.user, identity.grants, join.room
    if join.user not in (None, user):
        raise SessionEnded(
            DisconnectReason.FORBIDDEN(
                why=f"the requested user name is not that of the caller; "
                f"request {user!r} or no user name"
            )
        )
    if not grants.allows("join", room):
        raise SessionEnded(
            DisconnectReason.FORBIDDEN(why=f"{user!r} needs the right join in the room {room!r}")
        )
    return Permission(user, grants.allows("send", room), grants.allows("read", room))

"""The client that opens a room session, and its rights in the room. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...auth import Identity
from ...rooms import DisconnectReason, SessionEnded
from ...rooms.metadata import JoinRequest
from ..session import Peer

__all__ = ["Caller", "Permission", "permission_of"]


class Caller(NamedTuple):
    """Identifies the client that opens a session."""

    peer: Peer
    identity: Any
    """The `Identity` of an authenticated caller, else None."""
    metadata: Mapping[str, str | bytes]
    """The metadata or headers of the request, for `RoomOptions.on_join`."""


class Permission(NamedTuple):
    """The rights of one session."""

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

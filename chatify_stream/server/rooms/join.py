"""What the session of a caller may do in its room. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from ...auth import Identity
from ...rooms import EndingReason
from ...rooms.metadata import JoinRequest
from .session_end import EndedError

__all__ = ["Permission", "permission_of"]


class Permission(NamedTuple):
    """The rights of one session."""

    user: str | None
    """The name of the user; None if neither the client nor an authenticator gave one."""
    may_send: bool = True
    may_read: bool = True


def permission_of(identity: object, join: JoinRequest) -> Permission:
    """Return the rights of a session. Raises `EndedError` if it may not join."""
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

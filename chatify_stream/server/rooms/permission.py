"""What the session of a caller may do in its room. No I/O.

Where nobody is asked who they are, a client is who it says, and may do everything.
"""

from __future__ import annotations

from typing import NamedTuple

from ...auth import Identity
from ...rooms import EndingReason
from .endings import EndedError
from .joining import JoinRequest

__all__ = ["Permission", "permission_of"]


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

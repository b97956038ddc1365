"""Who is on this node, and what of that Redis may not know yet. No I/O."""

from __future__ import annotations

from ...rooms import Presence

__all__ = ["Residents"]


class Residents:
    """The users of this node by room."""

    def __init__(self) -> None:
        self._presence = Presence()
        self._users: dict[str, set[str]] = {}
        self.unsettled: set[tuple[str, str]] = set()
        """Rooms and users that have come or gone, until Redis knows."""

    def enter(self, room: str, user: str, session_id: str) -> bool:
        """True when Redis has to be told."""
        if not self._presence.enter(room, user, session_id):
            return (room, user) in self.unsettled
        self._users.setdefault(room, set()).add(user)
        self.unsettled.add((room, user))
        return True

    def leave(self, room: str, user: str, session_id: str) -> bool:
        """True when Redis has to be told."""
        if not self._presence.leave(room, user, session_id):
            return False
        self._users[room].discard(user)
        if not self._users[room]:
            del self._users[room]
        self.unsettled.add((room, user))
        return True

    def has_users(self, room: str) -> bool:
        return room in self._users

    def is_there(self, room: str, user: str) -> bool:
        return user in self._users.get(room, ())

    def unsettle(self, room: str) -> None:
        """Redis has lost who is here."""
        self.unsettled |= {(room, user) for user in self._users.get(room, ())}

    def rooms(self) -> set[str]:
        """Those with users."""
        return set(self._users)

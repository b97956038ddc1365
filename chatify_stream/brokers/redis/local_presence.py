"""The users on this node, and the changes that Redis may not know yet. No I/O."""

from __future__ import annotations

from ...rooms import Presence

__all__ = ["LocalPresence"]


class LocalPresence:
    """Tracks the users of this node by room."""

    def __init__(self) -> None:
        self._presence = Presence()
        self._users: dict[str, set[str]] = {}
        self.unsynced: set[tuple[str, str]] = set()
        """Changed rooms and users that Redis has not confirmed."""

    def enter(self, room: str, user: str, session_id: str) -> bool:
        """Add a session; return whether Redis must be updated."""
        if not self._presence.enter(room, user, session_id):
            return (room, user) in self.unsynced
        self._users.setdefault(room, set()).add(user)
        self.unsynced.add((room, user))
        return True

    def leave(self, room: str, user: str, session_id: str) -> bool:
        """Remove a session; return whether Redis must be updated."""
        if not self._presence.leave(room, user, session_id):
            return False
        self._users[room].discard(user)
        if not self._users[room]:
            del self._users[room]
        self.unsynced.add((room, user))
        return True

    def has_users(self, room: str) -> bool:
        return room in self._users

    def is_there(self, room: str, user: str) -> bool:
        return user in self._users.get(room, ())

    def mark_unsynced(self, room: str) -> None:
        """Mark all users of a room as unknown to Redis."""
        self.unsynced |= {(room, user) for user in self._users.get(room, ())}

    def rooms(self) -> set[str]:
        """Return the rooms with users."""
        return set(self._users)

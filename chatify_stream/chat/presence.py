"""Who is in which room, on a server that is alone. No I/O.

Rules: a user is in a room while a session of the user is; a second session changes nothing.
"""

from __future__ import annotations

__all__ = ["Presence"]


class Presence:
    """The sessions by room and user."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, set[str]]] = {}

    def enter(self, room: str, user: str, session_id: str) -> bool:
        """True when it is the first session of the user there."""
        sessions = self._rooms.setdefault(room, {}).setdefault(user, set())
        sessions.add(session_id)
        return len(sessions) == 1

    def leave(self, room: str, user: str, session_id: str) -> bool:
        """True when it was the last session of the user there."""
        users = self._rooms.get(room, {})
        sessions = users.get(user, set())
        if session_id not in sessions:
            return False
        sessions.remove(session_id)
        if sessions:
            return False
        del users[user]
        if not users:
            del self._rooms[room]
        return True

    def users(self, room: str) -> list[str]:
        """The users in a room, in the order of their names."""
        return sorted(self._rooms.get(room, ()))

    def count(self, room: str) -> int:
        """How many users are in a room."""
        return len(self._rooms.get(room, ()))

    def rooms(self) -> set[str]:
        """The rooms that somebody is in."""
        return set(self._rooms)

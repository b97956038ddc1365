"""Who is in which room, on a server that is alone. No I/O.

Rules: a user is in a room while a session of the user is; a second session changes nothing.
"""

from __future__ import annotations

__all__ = ["Presence"]


class Presence:
    """The sessions, and the users by room."""

    def __init__(self) -> None:
        self._sessions: set[tuple[str, str, str]] = set()
        self._rooms: dict[str, dict[str, int]] = {}
        """How many sessions each user has, by room."""

    def enter(self, room: str, user: str, session_id: str) -> bool:
        """True when it is the first session of the user there."""
        session = room, user, session_id
        users = self._rooms.setdefault(room, {})
        if session not in self._sessions:
            self._sessions.add(session)
            users[user] = users.get(user, 0) + 1
        return users[user] == 1

    def leave(self, room: str, user: str, session_id: str) -> bool:
        """True when it was the last session of the user there."""
        session = room, user, session_id
        if session not in self._sessions:
            return False
        self._sessions.remove(session)
        users = self._rooms[room]
        users[user] -= 1
        if users[user]:
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

"""The users in each room, for a single server. No I/O.

A user is in a room while at least one session of the user is. Therefore `enter` and `leave` report
whether the user's presence changed: a second session neither joins nor leaves.
"""

from __future__ import annotations


class Presence:
    """Counts the sessions of each user in each room.

    It is not bounded by itself: every session of the server is in it at most once.
    """

    def __init__(self) -> None:
        self._sessions: set[tuple[str, str, str]] = set()
        self._rooms: dict[str, dict[str, int]] = {}
        """Number of sessions by room and user."""

    def enter(self, room: str, user: str, session_id: str) -> bool:
        """Add a session. Return True if the user has no other session in the room."""
        session = room, user, session_id
        users = self._rooms.setdefault(room, {})
        if session not in self._sessions:
            self._sessions.add(session)
            users[user] = users.get(user, 0) + 1
        return users[user] == 1

    def leave(self, room: str, user: str, session_id: str) -> bool:
        """Remove a session. Return True if it was the user's last session in the room.

        Returns False for an unknown session.
        """
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
        return sorted(self._rooms.get(room, ()))

    def has(self, room: str, user: str) -> bool:
        return user in self._rooms.get(room, ())

    def count(self, room: str) -> int:
        return len(self._rooms.get(room, ()))

    def rooms(self) -> set[str]:
        return set(self._rooms)

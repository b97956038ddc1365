"""The messages of a client that the server has not acknowledged yet. No I/O.

Messages are written in the order in which they were added. A new session first writes the messages
that the previous session wrote without an acknowledgement, then those that were never written.

The collection is bounded in number and size. A message of any size is accepted when it is empty.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["MAX_CHARACTERS", "MAX_MESSAGES", "UnackedMessages"]

MAX_MESSAGES = 1000
MAX_CHARACTERS = 1_000_000


class UnackedMessages:
    """Unacknowledged messages by id."""

    def __init__(
        self, max_messages: int = MAX_MESSAGES, max_characters: int = MAX_CHARACTERS
    ) -> None:
        self._max_messages = max_messages
        self._max_characters = max_characters
        self._written: OrderedDict[str, str] = OrderedDict()  # by the current session
        self._waiting: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._written) + len(self._waiting)

    def has_room_for(self, text: str) -> bool:
        """Return whether a message with this text may be added now."""
        return not self or (
            len(self) < self._max_messages and self._characters + len(text) <= self._max_characters
        )

    def add(self, message_id: str, text: str) -> None:
        """Add a message. Its id must be new."""
        self._waiting[message_id] = text
        self._characters += len(text)

    def begin_session(self) -> None:
        """Mark all messages as unwritten."""
        self._written.update(self._waiting)
        self._waiting, self._written = self._written, OrderedDict()

    def take_next(self) -> tuple[str, str] | None:
        """Return the id and text of the next message to write, or None. Marks it as written."""
        if not self._waiting:
            return None
        message_id, text = self._waiting.popitem(last=False)
        self._written[message_id] = text
        return message_id, text

    def remove(self, message_id: str) -> None:
        """Remove a message if it is here."""
        text = self._written.pop(message_id, None)
        if text is None:
            text = self._waiting.pop(message_id, None)
        if text is not None:
            self._characters -= len(text)

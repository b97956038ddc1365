"""The messages of a client that are not acknowledged yet. No I/O.

Rules: messages are written in the order in which they were added. What a session has not brought
the acknowledgement of is written again by the next one, ahead of what was never written. They are
bounded, in number and in size; a message of any size is let in when nothing else is there.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["MOST_CHARACTERS", "MOST_MESSAGES", "Outgoing"]

MOST_MESSAGES = 1000
MOST_CHARACTERS = 1_000_000


class Outgoing:
    """Messages by their ids, each of which is here once."""

    def __init__(
        self, most_messages: int = MOST_MESSAGES, most_characters: int = MOST_CHARACTERS
    ) -> None:
        self._most_messages = most_messages
        self._most_characters = most_characters
        self._written: OrderedDict[str, str] = OrderedDict()  # by this session
        self._waiting: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._written) + len(self._waiting)

    def has_room_for(self, text: str) -> bool:
        """Whether the text may be added now."""
        return not self or (
            len(self) < self._most_messages
            and self._characters + len(text) <= self._most_characters
        )

    def add(self, message_id: str, text: str) -> None:
        """Adds a message, whose id is not here yet."""
        self._waiting[message_id] = text
        self._characters += len(text)

    def begin_session(self) -> None:
        """A new session has begun: everything is to be written."""
        self._written.update(self._waiting)
        self._waiting, self._written = self._written, OrderedDict()

    def take_next(self) -> tuple[str, str] | None:
        """The id and the text to be written next; they stay here until they are removed."""
        if not self._waiting:
            return None
        message_id, text = self._waiting.popitem(last=False)
        self._written[message_id] = text
        return message_id, text

    def remove(self, message_id: str) -> None:
        """It was acknowledged or refused, or nobody waits for that; it may be gone already."""
        text = self._written.pop(message_id, None)
        if text is None:
            text = self._waiting.pop(message_id, None)
        if text is not None:
            self._characters -= len(text)

"""What waits for one session until its client reads. No I/O.

Rules: chunks leave in the order in which they came, the first only once it was sent whole. The
bytes are shared with all other outboxes of the room. An outbox is bounded: a chunk that exceeds it
is not taken, unless nothing else waits, so that any message fits.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Chunk", "Outbox"]


class Chunk(NamedTuple):
    """Messages that follow each other, as they go on the wire."""

    frames: bytes
    number: int
    """How many messages."""
    offset: int
    """Of the last message of the room in it; 0 when there is none."""


class Outbox:
    """The chunks that wait for one session."""

    __slots__ = ("_chunks", "_limit", "size")

    def __init__(self, limit: int) -> None:
        """`limit`: bytes that may wait."""
        self._limit = limit
        self._chunks: deque[Chunk] = deque()
        self.size = 0
        """Bytes that wait."""

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, chunk: Chunk) -> bool:
        """Adds a chunk; False when there is no room for it."""
        size = self.size + len(chunk.frames)
        if size > self._limit and self._chunks:
            return False
        self._chunks.append(chunk)
        self.size = size
        return True

    @property
    def first(self) -> Chunk | None:
        """What is to be sent next; it stays until `pop`."""
        return self._chunks[0] if self._chunks else None

    def pop(self) -> None:
        """The first was sent."""
        self.size -= len(self._chunks.popleft().frames)

    def clear(self) -> None:
        """Gives up what waits."""
        self._chunks.clear()
        self.size = 0

"""The buffer of one session whose client does not read fast enough. No I/O.

A first-in, first-out queue of chunks. A chunk stays in the queue until it is sent completely. All
outboxes of a room share the bytes of a chunk. The size is bounded: a chunk above the limit is
rejected, unless the outbox is empty, so that a message of any size fits.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Chunk", "Outbox"]


class Chunk(NamedTuple):
    """Consecutive encoded messages, which are sent together."""

    frames: bytes
    number: int
    """Number of messages."""
    offset: int
    """The offset of the last room message in the chunk; 0 if there is none."""


class Outbox:
    """The chunks that wait for one client."""

    __slots__ = ("_chunks", "_limit", "size")

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes."""
        self._limit = limit
        self._chunks: deque[Chunk] = deque()
        self.size = 0
        """Number of bytes in the outbox."""

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, chunk: Chunk) -> bool:
        """Add a chunk. Return False if it does not fit."""
        size = self.size + len(chunk.frames)
        if size > self._limit and self._chunks:
            return False
        self._chunks.append(chunk)
        self.size = size
        return True

    @property
    def first(self) -> Chunk | None:
        """The next chunk to send, or None. It stays until `pop`."""
        return self._chunks[0] if self._chunks else None

    def pop(self) -> None:
        """Remove the first chunk."""
        self.size -= len(self._chunks.popleft().frames)

    def clear(self) -> None:
        """Drop all chunks."""
        self._chunks.clear()
        self.size = 0

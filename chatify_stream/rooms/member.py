"""A member: the state of one session in a room. No I/O.

States: *catching up* while the session sends what the client missed; *live* after `Room.admit`,
when published messages go to the client; *ended*, when the member receives and holds nothing.

A member gets each message once, in offset order. Chunks that the client cannot take at once wait in
the outbox, and so does everything after them. Joins and leaves wait there while the member catches
up. When the outbox is full, the member ends and its memory is freed. Other members are not
affected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .disconnect import Disconnect, DisconnectReason
from .position import Position
from .publication import Publication


class Chunk(NamedTuple):
    """Consecutive encoded messages, which are sent together."""

    frames: bytes
    number: int
    """Number of messages."""
    offset: int
    """The offset of the last room message in the chunk; 0 if there is none."""


@dataclass(eq=False, repr=False, slots=True)
class Outbox:
    """The chunks that wait for one client, first in, first out.

    A chunk stays until it is sent completely. All outboxes of a room share the bytes of a chunk. A
    chunk above the limit is rejected, unless the outbox is empty, so that any message fits.
    """

    _limit: int
    """In bytes."""
    size: int = 0
    _chunks: deque[Chunk] = field(default_factory=deque)

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
        self.size -= len(self._chunks.popleft().frames)

    def clear(self) -> None:
        self._chunks.clear()
        self.size = 0


class Encoding(Protocol):
    """How messages are written for one kind of client.

    Members whose encoding is the same object share the encoded bytes. Every method returns one
    complete message, so that the results can be joined.
    """

    def publication(self, publication: Publication, /) -> bytes:
        """Encode a message of the room."""

    def presence(self, user: str, joined: bool, /) -> bytes:
        """Encode that a user joined (True) or left (False)."""

    def refusal(self, message_id: str, reason: str, /) -> bytes:
        """Encode that the message with this id was rejected."""


class Sink(Protocol):
    """Sends to the client of one member."""

    @property
    def encoding(self) -> Encoding:
        """The encoding that the client reads. It never changes."""

    def send_nowait(self, frames: bytes, count: int) -> bool:
        """Send messages if the client can take them at once. Return False if nothing was sent."""

    def wake(self, member: Member) -> None:
        """Start sending the outbox of a live member."""

    def end(self, disconnect: Disconnect) -> None:
        """End the session soon, but not before this method returns."""


@dataclass(eq=False, repr=False, slots=True)
class Member:
    _sink: Sink
    user: str
    session_id: str
    _outbox_limit: int
    """Maximum size of the outbox in bytes."""
    epoch: str = ""
    offset: int = 0
    """The newest message that the client has: sent here, or known when the session began."""
    own_offset: int = 0
    """The newest message that the client has published."""
    is_live: bool = False
    outbox: Outbox | None = None  # most members never need one
    notify: Callable[[], None] | None = None
    """Called after each chunk that was sent, and at the end."""
    disconnect: Disconnect | None = None
    """Why the member has ended; None before."""

    @property
    def encoding(self) -> Encoding:
        return self._sink.encoding

    @property
    def position(self) -> Position:
        """The position at which the client may resume."""
        return Position(self.epoch, self.offset)

    @property
    def backlog(self) -> int:
        return 0 if self.outbox is None else self.outbox.size

    def go_live(self) -> None:
        """Deliver published messages from now on. `Room.admit` calls it."""
        self.is_live = True
        if self.outbox:
            self._sink.wake(self)

    def deliver(self, chunk: Chunk) -> None:
        """Send a chunk now, or put it into the outbox if the client cannot take it yet."""
        if self.disconnect is not None:
            return
        can_send = self.is_live and not self.outbox
        if can_send and self._sink.send_nowait(chunk.frames, chunk.number):
            self._note_sent(chunk)
            return
        if self.outbox is None:
            self.outbox = Outbox(self._outbox_limit)
        was_empty = not self.outbox
        if not self.outbox.put(chunk):
            self.end(DisconnectReason.SLOW_READER(limit=self._outbox_limit))
        elif was_empty and self.is_live:
            self._sink.wake(self)

    @property
    def next_chunk(self) -> Chunk | None:
        """The first chunk of the outbox, or None. It stays there until `sent`."""
        return None if self.outbox is None else self.outbox.first

    def sent(self, chunk: Chunk) -> None:
        """Note that a chunk was sent: the first of the outbox, or a chunk from the log."""
        if self.outbox and self.outbox.first is chunk:
            self.outbox.pop()
        self._note_sent(chunk)

    def end(self, disconnect: Disconnect) -> None:
        """End the session and free the outbox. Only the first call counts."""
        if self.disconnect is None:
            self.disconnect = disconnect
            self.is_live = False
            if self.outbox is not None:
                self.outbox.clear()
            self._sink.end(disconnect)
            if self.notify is not None:
                self.notify()

    def _note_sent(self, chunk: Chunk) -> None:
        if chunk.offset:
            self.offset = chunk.offset
        if self.notify is not None:
            self.notify()

"""A session in a room: what it has been given, what waits for it, and why it ends. No I/O.

States: *catching up*, until it has read what it missed (`Room.admit` ends that); *live*, when it
gets what is published; *ended*, when it gets nothing more and holds nothing.

Rules: a member gets messages in the order of their offsets, each once. What cannot be sent at once
goes to its outbox, and all that follows behind it; so do the joins and leaves that come while it
catches up. A member whose outbox is full is ended, and its memory given back; no other member
notices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .disconnect import Ending, EndingReason
from .outbox import Chunk, Outbox
from .position import Position
from .publication import Publication

__all__ = ["Encoding", "Member", "Sink"]


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
        """Sends messages if the client takes them at once; False when nothing was sent."""

    def wake(self, member: Member) -> None:
        """The member is live, and from now on something waits in its outbox."""

    def end(self, ending: Ending) -> None:
        """Ends the session: soon, not before this returns."""


class Member:
    """One session."""

    __slots__ = (
        "_limit",
        "_sink",
        "ending",
        "epoch",
        "is_live",
        "notify",
        "offset",
        "outbox",
        "own_offset",
        "session_id",
        "user",
    )

    def __init__(self, sink: Sink, user: str, session_id: str, outbox_limit: int) -> None:
        """`outbox_limit`: bytes that may wait for its client."""
        self._sink = sink
        self._limit = outbox_limit
        self.user = user
        self.session_id = session_id
        self.epoch = ""
        self.offset = 0
        """Of the newest message that was sent to it, or that it had when it came."""
        self.own_offset = 0
        """Of the newest message that it has published."""
        self.is_live = False
        self.outbox: Outbox | None = None  # most members never need one
        self.notify: Callable[[], None] | None = None
        """Called when something was sent to it, or it was ended."""
        self.ending: Ending | None = None
        """Why it has ended, or is about to."""

    @property
    def encoding(self) -> Encoding:
        """The encoding that its client reads."""
        return self._sink.encoding

    @property
    def position(self) -> Position:
        """Where it may resume."""
        return Position(self.epoch, self.offset)

    @property
    def backlog(self) -> int:
        """Bytes that wait for its client to read."""
        return 0 if self.outbox is None else self.outbox.size

    def go_live(self) -> None:
        """It has read what it missed."""
        self.is_live = True
        if self.outbox:
            self._sink.wake(self)

    def deliver(self, chunk: Chunk) -> None:
        """Sends a chunk: now, or when the client reads, and not before the member is live."""
        if self.ending is not None:
            return
        can_send = self.is_live and not self.outbox
        if can_send and self._sink.send_nowait(chunk.frames, chunk.number):
            self._went(chunk)
            return
        if self.outbox is None:
            self.outbox = Outbox(self._limit)
        was_empty = not self.outbox
        if not self.outbox.put(chunk):
            self.end(EndingReason.SLOW_READER(limit=self._limit))
        elif was_empty and self.is_live:
            self._sink.wake(self)

    @property
    def next_chunk(self) -> Chunk | None:
        """What waits longest; it stays until `sent` says that it went."""
        return None if self.outbox is None else self.outbox.first

    def sent(self, chunk: Chunk) -> None:
        """A chunk was sent, the first of the outbox or, while it catches up, from the log."""
        if self.outbox and self.outbox.first is chunk:
            self.outbox.pop()
        self._went(chunk)

    def end(self, ending: Ending) -> None:
        """Ends it for this reason, unless it has ended before; gives back what it holds."""
        if self.ending is None:
            self.ending = ending
            self.is_live = False
            if self.outbox is not None:
                self.outbox.clear()
            self._sink.end(ending)
            if self.notify is not None:
                self.notify()

    def _went(self, chunk: Chunk) -> None:
        if chunk.offset:
            self.offset = chunk.offset
        if self.notify is not None:
            self.notify()

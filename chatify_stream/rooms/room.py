"""A room on one node: its members, and what was published and not given to them yet. No I/O.

Rules: messages come in the order of their offsets, without a hole. They are gathered, and given to
all live members at once, so that the work and the writes are shared; each message is encoded once.
A member is admitted only with nothing gathered and nothing missed, so it gets each message after
its own position once. One that watches is told of each join and leave from then on, be it live or
not. A log that was reset ends all members.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from .disconnect import EndingReason
from .member import Member
from .outbox import Chunk
from .position import Position

__all__ = ["CHUNK_SIZE", "Room", "chunks"]

CHUNK_SIZE = 16 * 1024
"""Bytes of messages that are sent as one; a larger message is a chunk of its own."""


def chunks(frames: Iterable[bytes], offset: int) -> Iterator[Chunk]:
    """Encoded messages with contiguous offsets, the first behind `offset`, as chunks.

    A chunk is made when it is asked for.
    """
    gathered: list[bytes] = []
    size = 0
    for data in frames:
        if gathered and size + len(data) > CHUNK_SIZE:
            yield Chunk(b"".join(gathered), len(gathered), offset)
            gathered, size = [], 0
        gathered.append(data)
        size += len(data)
        offset += 1
    if gathered:
        yield Chunk(b"".join(gathered), len(gathered), offset)


class Room:
    """One room."""

    __slots__ = (
        "_frames",
        "_members",
        "_watching",
        "deliveries",
        "name",
        "offset",
        "position",
        "sessions",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.position: Position | None = None
        """Where it began, or was reset to; None until it is known."""
        self.offset = 0
        """Of the newest message that has come."""
        self.sessions = 0
        """Those who hold it: members, and sessions that catch up."""
        self.deliveries = 0
        """Messages times the members that they were given to."""
        self._members: set[Member] = set()
        self._watching: set[Member] | None = None  # in most rooms nobody does
        self._frames: list[bytes] | None = None

    @property
    def epoch(self) -> str:
        return "" if self.position is None else self.position.epoch

    @property
    def newest(self) -> Position:
        """The position of the newest message."""
        return Position(self.epoch, self.offset)

    @property
    def members(self) -> Collection[Member]:
        """Those that are live, and those that have just ended."""
        return self._members

    def begin(self, position: Position) -> None:
        """What follows is published after this position. Ends the members, if it had begun."""
        self._frames = None
        for member in self._members:
            member.end(EndingReason.LOG_RESET())
        self._members.clear()
        self.position = position
        self.offset = position.offset

    def add(self, frames: Sequence[bytes]) -> bool:
        """The next messages, encoded; True when they are the first that wait for `flush`."""
        self.offset += len(frames)
        if self._frames is None:
            self._frames = list(frames)
            return True
        self._frames += frames
        return False

    def flush(self) -> None:
        """Gives the members what was gathered."""
        frames = self._frames
        if frames is None:
            return
        self._frames = None
        if not self._members:
            return
        self.deliveries += len(frames) * len(self._members)
        for chunk in chunks(frames, self.offset - len(frames)):
            for member in self._members:
                member.deliver(chunk)

    def admit(self, member: Member) -> bool:
        """Makes a member live; False when there is more that it has to catch up with first."""
        if member.epoch != self.epoch or member.offset != self.offset or member.ending:
            return False
        self.flush()
        self._members.add(member)
        member.go_live()
        return True

    def watch(self, member: Member) -> None:
        """Tells a member of the joins and leaves from now on; of those before it is live, then."""
        if self._watching is None:
            self._watching = set()
        self._watching.add(member)

    def dismiss(self, member: Member) -> None:
        """The member has left."""
        member.is_live = False
        self._members.discard(member)
        if self._watching:
            self._watching.discard(member)

    def tell(self, user: str, frames: bytes) -> None:
        """Tells those who watch, and are not that user, of a join or leave."""
        if not self._watching:
            return
        self.flush()
        chunk = Chunk(frames, 1, 0)
        for member in self._watching:
            if member.user != user:
                member.deliver(chunk)

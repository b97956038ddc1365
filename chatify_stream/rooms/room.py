"""A room on one node: its members, and what was published and not given to them yet. No I/O.

Rules: messages come in the order of their offsets, without a hole. They are gathered, and given to
all live members at once, so that the work and the writes are shared. A message is encoded once for
each encoding that has a live member, and these members get the same bytes. A member is admitted
only with nothing gathered and nothing missed, so it gets each message after its own position once.
A member that watches receives each join and leave from then on, live or not. A log that was reset
ends all members.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

from .disconnect import EndingReason
from .member import Encoding, Member
from .outbox import Chunk
from .position import Position
from .publication import Publication

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
        "_members",
        "_pending",
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
        self._members: dict[Encoding, set[Member]] = {}
        self._watching: set[Member] | None = None  # in most rooms nobody does
        self._pending: list[Publication] | None = None

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
        return list(chain.from_iterable(self._members.values()))

    def begin(self, position: Position) -> None:
        """What follows is published after this position. Ends the members, if it had begun."""
        self._pending = None
        for member in self.members:
            member.end(EndingReason.LOG_RESET())
        self._members.clear()
        self.position = position
        self.offset = position.offset

    def add(self, publications: Sequence[Publication]) -> bool:
        """Add the next messages; return True if they are the first that wait for `flush`."""
        self.offset += len(publications)
        if self._pending is None:
            self._pending = list(publications)
            return True
        self._pending += publications
        return False

    def flush(self) -> None:
        """Deliver the messages that were gathered."""
        publications = self._pending
        if publications is None:
            return
        self._pending = None
        offset = self.offset - len(publications)
        for encoding, members in self._members.items():
            self.deliveries += len(publications) * len(members)
            for chunk in chunks(map(encoding.publication, publications), offset):
                for member in members:
                    member.deliver(chunk)

    def admit(self, member: Member) -> bool:
        """Makes a member live; False when there is more that it has to catch up with first."""
        if member.epoch != self.epoch or member.offset != self.offset or member.ending:
            return False
        self.flush()
        members = self._members.get(member.encoding)
        if members is None:
            members = self._members[member.encoding] = set()
        members.add(member)
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
        members = self._members.get(member.encoding)
        if members is not None:
            members.discard(member)
            if not members:
                del self._members[member.encoding]
        if self._watching:
            self._watching.discard(member)

    def presence_changed(self, user: str, joined: bool) -> None:
        """Report a join or leave of `user` to the members that watch, but not to that user."""
        if not self._watching:
            return
        self.flush()
        chunks_by_encoding: dict[Encoding, Chunk] = {}
        for member in self._watching:
            if member.user != user:
                chunk = chunks_by_encoding.get(member.encoding)
                if chunk is None:
                    chunk = Chunk(member.encoding.presence(user, joined), 1, 0)
                    chunks_by_encoding[member.encoding] = chunk
                member.deliver(chunk)

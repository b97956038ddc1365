"""A room on one server: its members, and the messages that they have not received yet. No I/O.

Messages are added in offset order without gaps. `flush` delivers all added messages to all live
members together, to share encoding and writes: a message is encoded once for each encoding that has
a live member, and these members get the same bytes.

`admit` accepts a member only if nothing is pending and the member has missed nothing. So a member
gets each message after its own position once. A member that watches receives joins and leaves from
then on, even before it is live. When the log is reset, all members end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from .disconnect import DisconnectReason
from .member import Chunk, Encoding, Member
from .position import Position
from .publication import Publication

CHUNK_SIZE = 16 * 1024
"""Maximum size of a chunk in bytes. A larger message is a chunk of its own."""


def chunks(frames: Iterable[bytes], offset: int) -> Iterator[Chunk]:
    """Yield chunks of encoded messages with contiguous offsets; the first follows `offset`."""
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


@dataclass(eq=False, repr=False, slots=True)
class Room:
    name: str
    position: Position | None = None
    """The position passed to `begin`; None before."""
    offset: int = 0
    """The offset of the newest added message."""
    sessions: int = 0
    """Number of holders: members, and sessions that catch up. The hub counts them."""
    deliveries: int = 0
    """Total of messages, each multiplied by the members that received it."""
    _members: dict[Encoding, set[Member]] = field(default_factory=dict)
    _watching: set[Member] | None = None  # most rooms have no watchers
    _pending: list[Publication] | None = None

    @property
    def epoch(self) -> str:
        return "" if self.position is None else self.position.epoch

    @property
    def newest(self) -> Position:
        return Position(self.epoch, self.offset)

    @property
    def members(self) -> Collection[Member]:
        """The live members, and members that have just ended."""
        return list(chain.from_iterable(self._members.values()))

    def begin(self, position: Position) -> None:
        """Continue after this position. Called again after a reset or a gap; ends all members."""
        self._pending = None
        for member in self.members:
            member.end(DisconnectReason.LOG_RESET())
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
        """Make a member live. Return False if it has to catch up first, or has ended."""
        if member.epoch != self.epoch or member.offset != self.offset or member.disconnect:
            return False
        self.flush()
        self._members.setdefault(member.encoding, set()).add(member)
        member.go_live()
        return True

    def watch(self, member: Member) -> None:
        """Report joins and leaves to a member from now on, with its messages after it is live."""
        if self._watching is None:
            self._watching = set()
        self._watching.add(member)

    def dismiss(self, member: Member) -> None:
        """Remove a member that leaves. Ignores unknown members."""
        member.is_live = False
        members = self._members.get(member.encoding, set())
        members.discard(member)
        if not members:
            self._members.pop(member.encoding, None)
        if self._watching:
            self._watching.discard(member)

    def presence_changed(self, user: str, joined: bool) -> None:
        """Report a join or leave of `user` to the members that watch, but not to that user."""
        if not self._watching:
            return
        self.flush()
        encoded: dict[Encoding, Chunk] = {}
        for member in self._watching:
            if member.user != user:
                encoding = member.encoding
                if encoding not in encoded:
                    encoded[encoding] = Chunk(encoding.presence(user, joined), 1, 0)
                member.deliver(encoded[encoding])

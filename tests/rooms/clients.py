"""Clients for tests of the domain. A client reads, or stops reading."""

from __future__ import annotations

from chatify_stream.rooms import Chunk, Disconnect, Encoding, Member, Publication

__all__ = ["Client", "OffsetEncoding", "frames_of", "messages", "publications"]

LIMIT = 1000


class OffsetEncoding:
    """Encodes a message as its offset."""

    def publication(self, publication: Publication) -> bytes:
        return b"%d;" % publication.offset

    def presence(self, user: str, joined: bool) -> bytes:
        return b"%b %b;" % (user.encode(), b"came" if joined else b"went")

    def refusal(self, message_id: str, reason: str) -> bytes:
        return b"%b: %b;" % (message_id.encode(), reason.encode())


OFFSETS = OffsetEncoding()


def publications(first: int, last: int) -> list[Publication]:
    """Return messages of a room with these offsets."""
    return [Publication(offset, "bob", "hi", "", 0) for offset in range(first, last + 1)]


def messages(first: int, last: int, size: int = 0) -> list[bytes]:
    """Return the same messages as `OffsetEncoding` writes them, each padded with `size` bytes."""
    return [b"%d;" % offset + b"." * size for offset in range(first, last + 1)]


def frames_of(data: bytes) -> list[str]:
    """Return the offsets that `messages` encoded."""
    return [each.strip(b".").decode() for each in data.split(b";")[:-1]]


class Client:
    """A `Sink` and its member."""

    def __init__(self, user: str = "ada", limit: int = LIMIT, encoding: Encoding = OFFSETS) -> None:
        self.encoding = encoding
        self.takes = True
        """Whether the client reads."""
        self.got: list[str] = []
        self.woken = 0
        self.disconnects: list[Disconnect] = []
        self.member = Member(self, user, f"session of {user}", limit)

    def send_nowait(self, frames: bytes, count: int) -> bool:
        if self.takes:
            new = frames_of(frames)
            assert len(new) == count
            self.got += new
        return self.takes

    def wake(self, member: Member) -> None:
        assert member is self.member
        self.woken += 1

    def end(self, disconnect: Disconnect) -> None:
        self.disconnects.append(disconnect)

    def read_one(self) -> bool:
        """Read the first chunk of the outbox. Return False if there is none."""
        chunk = self.member.next_chunk
        if chunk is None:
            return False
        self.got += frames_of(chunk.frames)
        self.member.sent(chunk)
        return True

    def read_all(self) -> None:
        """Start reading, and read the whole outbox."""
        while self.read_one():
            pass
        self.takes = True


def chunk(first: int, last: int) -> Chunk:
    return Chunk(b"".join(messages(first, last)), last + 1 - first, last)

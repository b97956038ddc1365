"""Tests of rooms/room.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms import CHUNK_SIZE, DisconnectReason, Publication, Room, chunks
from chatify_stream.rooms.position import Position

from .clients import Client, OffsetEncoding, frames_of, publications


@pytest.fixture
def room() -> Room:
    """Return a room whose newest message has offset 3."""
    room = Room("lobby")
    room.begin(Position("e", 3))
    return room


def enter(room: Room, user: str = "ada", **options: object) -> Client:
    """Return a client that is live in the room and has missed nothing."""
    client = Client(user, **options)
    client.member.epoch, client.member.offset = room.newest
    assert room.admit(client.member)
    return client


class TestChunks:
    @given(st.lists(st.integers(0, CHUNK_SIZE * 2), max_size=20), st.integers(0, 10**6))
    def test_any_messages(self, sizes: list[int], offset: int) -> None:
        """Chunks hold all messages in order with their offsets; a large message is alone."""
        frames = [b"%d;" % index + b"." * size for index, size in enumerate(sizes)]
        made = list(chunks(frames, offset))
        assert b"".join(chunk.frames for chunk in made) == b"".join(frames)
        for chunk in made:
            offset += chunk.number
            assert chunk.offset == offset
            assert len(frames_of(chunk.frames)) == chunk.number >= 1
            assert len(chunk.frames) <= CHUNK_SIZE or chunk.number == 1

    def test_few_chunks(self) -> None:
        """A chunk is filled before the next chunk begins."""
        half = b"x" * (CHUNK_SIZE // 2)
        assert [chunk.number for chunk in chunks([half] * 5, 0)] == [2, 2, 1]
        assert [chunk.number for chunk in chunks([b"x"] * CHUNK_SIZE, 0)] == [CHUNK_SIZE]

    def test_one_by_one(self) -> None:
        """Chunks are made lazily, so a reader of a log holds one at a time."""
        encoded = []

        def encode() -> object:
            for number in range(3):
                encoded.append(number)
                yield b"x" * CHUNK_SIZE

        made = chunks(encode(), 0)
        next(made)
        assert encoded == [0, 1]

    def test_none(self) -> None:
        """Without messages there are no chunks."""
        assert list(chunks([], 5)) == []


class TestDelivery:
    def test_together(self, room: Room) -> None:
        """A flush delivers all pending messages, as the same bytes to every member."""
        clients = [enter(room, user) for user in ("ada", "bob")]
        for client in clients:
            client.takes = False
        assert room.add(publications(4, 5))
        assert not room.add(publications(6, 6))
        assert [client.member.backlog for client in clients] == [0, 0]
        room.flush()
        first, second = (client.member.next_chunk for client in clients)
        assert first is not None
        assert second is not None
        assert first.frames is second.frames
        assert frames_of(first.frames) == ["4", "5", "6"]
        assert (first.number, first.offset) == (3, 6)
        assert room.newest == ("e", 6)

    def test_once_for_each_encoding(self, room: Room) -> None:
        """Members share the bytes of their encoding; each encoding writes a message once."""

        class Counting(OffsetEncoding):
            def __init__(self, suffix: bytes) -> None:
                self.suffix = suffix
                self.written = 0

            def publication(self, publication: Publication) -> bytes:
                self.written += 1
                return b"%d%b;" % (publication.offset, self.suffix)

            def presence(self, user: str, joined: bool) -> bytes:
                self.written += 1
                return b"%b%b;" % (user.encode(), self.suffix)

        encodings = [Counting(b"a"), Counting(b"b"), Counting(b"c")]
        clients = [enter(room, "ada", encoding=each) for each in encodings[:2] * 2]
        gone = enter(room, "eve", encoding=encodings[2])
        room.dismiss(gone.member)
        room.add(publications(4, 5))
        room.flush()
        assert [client.got for client in clients] == [["4a", "5a"], ["4b", "5b"]] * 2
        assert room.deliveries == 8
        assert {client.member.offset for client in clients} == {5}
        for client in clients:
            room.watch(client.member)
        room.presence_changed("bob", True)
        assert [client.got[-1] for client in clients] == ["boba", "bobb"] * 2
        assert [each.written for each in encodings] == [3, 3, 0]

    def test_each_once(self, room: Room) -> None:
        """A flush delivers the messages since the last flush; the next message requests another."""
        client = enter(room)
        for offset in (4, 5):
            assert room.add(publications(offset, offset))
            room.flush()
            room.flush()
        assert client.got == ["4", "5"]
        assert room.deliveries == 2

    def test_empty_room(self, room: Room) -> None:
        """A message in an empty room is not kept."""
        room.add(publications(4, 4))
        room.flush()
        assert enter(room).got == []
        assert (room.offset, room.deliveries) == (4, 0)

    def test_slow_reader(self, room: Room) -> None:
        """A slow reader ends, and the other members are not affected."""
        slow, other = enter(room, "slow", limit=5), enter(room, "other")
        slow.takes = False
        for offset in range(4, 10):
            room.add(publications(offset, offset))
            room.flush()
        assert slow.disconnects == [DisconnectReason.SLOW_READER(limit=5)]
        assert slow.member.position == ("e", 3)
        assert other.got == [str(offset) for offset in range(4, 10)]

    def test_dismissed(self, room: Room) -> None:
        """A dismissed member gets nothing more. Dismissing it again has no effect."""
        client = enter(room)
        room.dismiss(client.member)
        room.dismiss(client.member)
        room.add(publications(4, 4))
        room.flush()
        assert client.got == []
        assert not client.member.is_live
        assert list(room.members) == []


class TestAdmission:
    def test_with_nothing_missed(self, room: Room) -> None:
        """A member admitted between flushes gets the messages after its position only."""
        early = enter(room, "early")
        room.add(publications(4, 4))
        late = enter(room, "late")
        room.add(publications(5, 5))
        room.flush()
        assert early.got == ["4", "5"]
        assert late.got == ["5"]

    @pytest.mark.parametrize("position", [("e", 2), ("e", 4), ("f", 3), ("", 0)])
    def test_at_another_position(self, room: Room, position: tuple[str, int]) -> None:
        """A member at another position is not admitted."""
        client = Client()
        client.member.epoch, client.member.offset = position
        assert not room.admit(client.member)
        assert not client.member.is_live
        room.add(publications(4, 4))
        room.flush()
        assert client.got == []

    def test_ended(self, room: Room) -> None:
        """A member that ended while catching up is not admitted."""
        client = Client()
        client.member.epoch, client.member.offset = room.newest
        client.member.end(DisconnectReason.DRAINING())
        assert not room.admit(client.member)
        assert list(room.members) == []


class TestReset:
    def test_members_end(self, room: Room) -> None:
        """A reset ends all members at their positions and drops the pending messages."""
        client = enter(room)
        room.add(publications(4, 4))
        room.begin(Position("f", 0))
        assert client.disconnects == [DisconnectReason.LOG_RESET()]
        assert client.member.position == ("e", 3)
        room.flush()
        assert client.got == []
        assert list(room.members) == []
        assert room.newest == ("f", 0)

    def test_new_members(self, room: Room) -> None:
        """Members admitted after a reset are in the new epoch."""
        room.begin(Position("f", 0))
        client = enter(room)
        room.add(publications(1, 1))
        room.flush()
        assert client.got == ["1"]
        assert client.member.position == ("f", 1)

    def test_new_room(self) -> None:
        """A new room has no position."""
        room = Room("lobby")
        assert (room.epoch, room.newest, room.position) == ("", ("", 0), None)


class TestPresence:
    def test_watching_members(self, room: Room) -> None:
        """Watching members get a join at once, except members of the same user."""
        watching, other, same = enter(room, "ada"), enter(room, "eve"), enter(room, "bob")
        room.watch(watching.member)
        room.watch(same.member)
        room.presence_changed("bob", True)
        assert watching.got == ["bob came"]
        assert other.got == same.got == []

    def test_order(self, room: Room) -> None:
        """A leave follows the messages published before it."""
        client = enter(room)
        room.watch(client.member)
        room.add(publications(4, 4))
        room.presence_changed("bob", False)
        assert client.got == ["4", "bob went"]
        assert client.member.position == ("e", 4)

    def test_no_watchers(self, room: Room) -> None:
        """Without watchers, a join does not flush the room."""
        client = enter(room)
        room.add(publications(4, 4))
        room.presence_changed("bob", True)
        assert client.got == []
        room.flush()
        assert client.got == ["4"]

    def test_during_catch_up(self, room: Room) -> None:
        """Joins and leaves during catch-up are delivered when the member is live."""
        client = Client()
        client.member.epoch = "e"
        room.watch(client.member)
        room.presence_changed("bob", True)
        room.presence_changed("bob", False)
        assert client.got == []
        client.member.offset = 3
        assert room.admit(client.member)
        client.read_all()
        assert client.got == ["bob came", "bob went"]

    def test_after_dismissal(self, room: Room) -> None:
        """A dismissed member gets no joins, whether it was live or not."""
        clients = [enter(room, "live"), Client("early")]
        for client in clients:
            room.watch(client.member)
            room.dismiss(client.member)
        room.presence_changed("bob", True)
        assert [client.got for client in clients] == [[], []]
        assert [client.member.backlog for client in clients] == [0, 0]

"""Tests of rooms/hub.py."""

from __future__ import annotations

from chatify_stream.rooms import DisconnectReason, Hub, Publication, Room
from chatify_stream.rooms.position import Position

from .clients import Client, OffsetEncoding


class Node(OffsetEncoding):
    """The owner of a hub, which flushes rooms on request; and the encoding of its clients."""

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.asked: list[Room] = []
        self.hub = Hub(self.asked.append)

    def publication(self, publication: Publication) -> bytes:
        self.encoded.append(publication.offset)
        return b"%s:%s;" % (publication.user.encode(), publication.text.encode())

    def enter(self, name: str = "lobby", user: str = "ada") -> tuple[Room, Client]:
        room = self.hub.hold(name)
        if room.position is None:
            self.hub.begins_at(name, Position("e", 0))
        client = Client(user, encoding=self)
        client.member.epoch, client.member.offset = room.newest
        assert room.admit(client.member)
        return room, client

    def flush(self) -> None:
        for room in self.asked:
            room.flush()
        self.asked.clear()


def said(offset: int, text: str, user: str = "bob") -> Publication:
    return Publication(offset, user, text, "", 0)


class TestRooms:
    def test_one_for_all(self) -> None:
        """`hold` returns the same room while anybody holds it."""
        hub = Node().hub
        room = hub.hold("lobby")
        assert hub.hold("lobby") is room
        assert hub.hold("Lobby") is not room
        assert len(hub) == 2
        assert not hub.release(room)
        assert hub.release(room)

    def test_forgotten(self) -> None:
        """A room that nobody holds can be forgotten once; afterwards the name gets a new room."""
        hub = Node().hub
        room = hub.hold("lobby")
        assert not hub.forget(room)
        hub.release(room)
        assert hub.forget(room)
        assert len(hub) == 0
        other = hub.hold("lobby")
        assert other is not room
        assert other.position is None
        hub.release(other)
        assert not hub.forget(room)
        assert len(hub) == 1

    def test_held_again_before_it_is_forgotten(self) -> None:
        """A room that is held again before `forget` keeps its position and misses nothing."""
        node = Node()
        room, client = node.enter()
        room.dismiss(client.member)
        assert node.hub.release(room)
        node.hub.published("lobby", [said(1, "hi")])
        again, late = node.enter()
        assert again is room
        assert not node.hub.forget(room)
        node.hub.published("lobby", [said(2, "ho")])
        node.flush()
        assert late.got == ["bob:ho"]
        assert late.member.position == ("e", 2)


class TestBrokerEvents:
    def test_encoded_once(self) -> None:
        """A message is encoded once for all members, and not at all in a room without members."""
        node = Node()
        clients = [node.enter(user=user)[1] for user in ("ada", "eve")]
        node.hub.published("lobby", [said(1, "hi"), said(2, "ho")])
        node.hub.published("elsewhere", [said(7, "psst")])
        node.flush()
        assert [client.got for client in clients] == [["bob:hi", "bob:ho"]] * 2
        assert node.encoded == [1, 2]

    def test_one_flush_for_all(self) -> None:
        """Several publications request one flush of the room; each room requests its own."""
        node = Node()
        lobby, _ = node.enter("lobby")
        attic, client = node.enter("attic")
        for offset in (1, 2, 3):
            node.hub.published("lobby", [said(offset, "x")])
        node.hub.published("attic", [said(1, "y")])
        assert node.asked == [lobby, attic]
        assert client.got == []
        node.flush()
        assert client.got == ["bob:y"]
        node.hub.published("lobby", [said(4, "x")])
        assert node.asked == [lobby]

    def test_before_the_room_began(self) -> None:
        """Publications before the position of the room is known are dropped."""
        node = Node()
        room = node.hub.hold("lobby")
        node.hub.published("lobby", [said(4, "early")])
        assert node.asked == []
        node.hub.begins_at("lobby", Position("e", 4))
        assert room.newest == ("e", 4)

    def test_lost_log(self) -> None:
        """A lost log ends the members of that room only."""
        node = Node()
        _, client = node.enter("lobby")
        _, other = node.enter("attic")
        node.hub.begins_at("lobby", Position("f", 0))
        node.hub.begins_at("nowhere", Position("f", 0))
        assert client.disconnects == [DisconnectReason.LOG_RESET()]
        assert other.disconnects == []

    def test_presence(self) -> None:
        """Watching members of the room get joins and leaves."""
        node = Node()
        room, client = node.enter("lobby")
        room.watch(client.member)
        node.hub.presence_changed("lobby", "bob", True)
        node.hub.presence_changed("attic", "eve", True)
        node.hub.presence_changed("lobby", "bob", False)
        assert client.got == ["bob came", "bob went"]

    def test_deliveries(self) -> None:
        """Deliveries in forgotten rooms still count."""
        node = Node()
        lobby, client = node.enter("lobby")
        node.enter("attic", "ada")
        node.enter("attic", "eve")
        node.hub.published("lobby", [said(1, "x")])
        node.hub.published("attic", [said(1, "x"), said(2, "y")])
        node.flush()
        lobby.dismiss(client.member)
        node.hub.release(lobby)
        assert node.hub.forget(lobby)
        assert node.hub.deliveries == 5

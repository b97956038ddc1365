"""Tests of rooms/member.py."""

from __future__ import annotations

from chatify_stream.rooms import Chunk, DisconnectReason

from .clients import Client, chunk

JOIN = Chunk(b"join;", 1, 0)


def live(**options: object) -> Client:
    """Return a client whose member is live from the beginning of the room."""
    client = Client(**options)
    client.member.epoch = "e"
    client.member.go_live()
    return client


class TestDelivery:
    def test_at_once(self) -> None:
        """A client that reads gets chunks at once, and its member needs no outbox."""
        client = live()
        client.member.deliver(chunk(1, 2))
        client.member.deliver(chunk(3, 3))
        assert client.got == ["1", "2", "3"]
        assert client.member.position == ("e", 3)
        assert client.member.outbox is None
        assert client.member.backlog == 0
        assert client.woken == 0

    def test_later(self) -> None:
        """A chunk that cannot be sent waits, and so do later chunks; the sink is woken once."""
        client = live()
        client.takes = False
        client.member.deliver(chunk(1, 1))
        client.takes = True
        client.member.deliver(chunk(2, 2))
        assert (client.got, client.woken) == ([], 1)
        assert client.member.position == ("e", 0)
        assert client.member.backlog == len(b"1;2;")
        client.read_all()
        assert client.got == ["1", "2"]
        assert client.member.position == ("e", 2)
        client.member.deliver(chunk(3, 3))
        assert client.got == ["1", "2", "3"]

    def test_woken_again(self) -> None:
        """The sink is woken each time the outbox stops being empty."""
        client = live()
        for offset in (1, 2):
            client.takes = False
            client.member.deliver(chunk(offset, offset))
            client.read_all()
        assert client.woken == 2

    def test_chunk_without_a_room_message(self) -> None:
        """A chunk without a room message is sent in order and does not change the position."""
        client = live()
        client.member.deliver(chunk(1, 1))
        client.member.deliver(JOIN)
        assert client.got == ["1", "join"]
        assert client.member.position == ("e", 1)


class TestCatchingUp:
    def test_chunks_wait(self) -> None:
        """Chunks that arrive while the member catches up wait until it is live."""
        client = Client()
        client.member.deliver(JOIN)
        assert (client.got, client.woken) == ([], 0)
        missed = chunk(1, 2)
        client.member.sent(missed)
        assert client.member.offset == 2
        assert client.member.next_chunk is JOIN
        client.member.go_live()
        assert client.woken == 1
        client.member.deliver(chunk(3, 3))
        client.read_all()
        assert client.got == ["join", "3"]

    def test_full_outbox(self) -> None:
        """A member that catches up too slowly ends like any slow reader."""
        client = Client(limit=9)
        client.member.deliver(JOIN)
        client.member.deliver(JOIN)
        assert client.disconnects == [DisconnectReason.SLOW_READER(limit=9)]
        assert client.member.backlog == 0

    def test_empty_outbox(self) -> None:
        """Going live with an empty outbox does not wake the sink."""
        client = live()
        assert client.woken == 0
        assert client.member.is_live


class TestEnd:
    def test_slow_reader(self) -> None:
        """A full outbox ends the member once, at its position, and frees the outbox."""
        client = live(limit=4)
        client.member.deliver(chunk(1, 1))
        client.takes = False
        client.member.deliver(chunk(2, 2))
        client.member.deliver(chunk(3, 3))
        assert client.disconnects == []
        client.member.deliver(chunk(4, 4))
        client.member.deliver(chunk(5, 5))
        assert client.disconnects == [DisconnectReason.SLOW_READER(limit=4)]
        assert not client.member.is_live
        assert client.member.position == ("e", 1)
        assert (client.member.backlog, client.member.next_chunk) == (0, None)
        assert client.woken == 1

    def test_first_reason_counts(self) -> None:
        """A member ends once, for the first reason, and then gets nothing."""
        client = live()
        client.member.end(DisconnectReason.DRAINING())
        client.member.end(DisconnectReason.LOG_RESET())
        client.member.deliver(chunk(1, 1))
        assert client.disconnects == [DisconnectReason.DRAINING()]
        assert client.member.disconnect == DisconnectReason.DRAINING()
        assert (client.got, client.member.outbox) == ([], None)

    def test_in_the_middle_of_a_chunk(self) -> None:
        """A chunk that was being sent at the end still moves the position when it is sent."""
        client = live()
        client.takes = False
        client.member.deliver(chunk(1, 2))
        on_its_way = client.member.next_chunk
        assert on_its_way is not None
        client.member.end(DisconnectReason.DRAINING())
        client.member.sent(on_its_way)
        assert client.member.position == ("e", 2)


def test_notices() -> None:
    """`notify` is called after each chunk that was sent, and at the end."""
    client, notices = live(), list[int]()
    client.member.notify = lambda: notices.append(client.member.offset)
    client.member.deliver(chunk(1, 1))
    client.takes = False
    client.member.deliver(chunk(2, 2))
    client.read_all()
    client.member.end(DisconnectReason.DRAINING())
    assert notices == [1, 2, 2]

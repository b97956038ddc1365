"""Tests of chat/member.py."""

from __future__ import annotations

from chatify_stream.rooms import Chunk, EndingReason

from .clients import Client, chunk

JOIN = Chunk(b"join;", 1, 0)


def live(**options: object) -> Client:
    """A client whose member is live from the beginning of the room."""
    client = Client(**options)
    client.member.epoch = "e"
    client.member.go_live()
    return client


class TestDelivering:
    def test_at_once(self) -> None:
        """Who reads is sent what comes, at once, and needs no outbox."""
        client = live()
        client.member.deliver(chunk(1, 2))
        client.member.deliver(chunk(3, 3))
        assert client.got == ["1", "2", "3"]
        assert client.member.position == ("e", 3)
        assert client.member.outbox is None
        assert client.member.backlog == 0
        assert client.woken == 0

    def test_later(self) -> None:
        """What cannot be sent waits, and what comes next behind it; the sender is woken once."""
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
        """Each time that something begins to wait, whoever sends it is woken."""
        client = live()
        for offset in (1, 2):
            client.takes = False
            client.member.deliver(chunk(offset, offset))
            client.read_all()
        assert client.woken == 2

    def test_what_is_no_message_of_the_room(self) -> None:
        """It is sent in its turn, and the position stays."""
        client = live()
        client.member.deliver(chunk(1, 1))
        client.member.deliver(JOIN)
        assert client.got == ["1", "join"]
        assert client.member.position == ("e", 1)


class TestCatchingUp:
    def test_what_comes_meanwhile(self) -> None:
        """It waits until the member is live, and leaves then."""
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

    def test_its_bound(self) -> None:
        """A member that does not come to an end with it is ended like any other slow reader."""
        client = Client(limit=9)
        client.member.deliver(JOIN)
        client.member.deliver(JOIN)
        assert client.endings == [EndingReason.SLOW_READER(limit=9)]
        assert client.member.backlog == 0

    def test_nothing_came(self) -> None:
        """A member for which nothing waits is live without a sound."""
        client = live()
        assert client.woken == 0
        assert client.member.is_live


class TestEnding:
    def test_who_reads_too_slowly(self) -> None:
        """Past its bound a member is ended once, where it is, and all that waited is given back."""
        client = live(limit=4)
        client.member.deliver(chunk(1, 1))
        client.takes = False
        client.member.deliver(chunk(2, 2))
        client.member.deliver(chunk(3, 3))
        assert client.endings == []
        client.member.deliver(chunk(4, 4))
        client.member.deliver(chunk(5, 5))
        assert client.endings == [EndingReason.SLOW_READER(limit=4)]
        assert not client.member.is_live
        assert client.member.position == ("e", 1)
        assert (client.member.backlog, client.member.next_chunk) == (0, None)
        assert client.woken == 1

    def test_for_the_first_reason(self) -> None:
        """A member ends once; nothing is sent to it then."""
        client = live()
        client.member.end(EndingReason.DRAINING())
        client.member.end(EndingReason.LOG_RESET())
        client.member.deliver(chunk(1, 1))
        assert client.endings == [EndingReason.DRAINING()]
        assert client.member.ending == EndingReason.DRAINING()
        assert (client.got, client.member.outbox) == ([], None)

    def test_in_the_middle_of_a_chunk(self) -> None:
        """What was on its way when a member was ended counts once it has been sent."""
        client = live()
        client.takes = False
        client.member.deliver(chunk(1, 2))
        on_its_way = client.member.next_chunk
        assert on_its_way is not None
        client.member.end(EndingReason.DRAINING())
        client.member.sent(on_its_way)
        assert client.member.position == ("e", 2)


def test_notices() -> None:
    """Whoever waits is told of all that was sent, and of the end."""
    client, notices = live(), list[int]()
    client.member.notify = lambda: notices.append(client.member.offset)
    client.member.deliver(chunk(1, 1))
    client.takes = False
    client.member.deliver(chunk(2, 2))
    client.read_all()
    client.member.end(EndingReason.DRAINING())
    assert notices == [1, 2, 2]

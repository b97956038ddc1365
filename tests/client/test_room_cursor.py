"""Tests of client/cursor.py, on values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import ChatRsp, PeerProtocolError, Position
from chatify_stream.client import Connected, Event, Gap, Joined, Left, Message
from chatify_stream.client.room_cursor import RoomCursor
from chatify_stream.messages.service.v1 import ChatRspKind
from chatify_stream.rooms.metadata import JoinResponse


def response(offset: int, *, epoch: str = "e", recovered: bool = False) -> JoinResponse:
    return JoinResponse("s", Position(epoch, offset), recovered, None)


def connected(offset: int, *, epoch: str = "e", recovered: bool | None = None) -> Connected:
    return Connected("s", Position(epoch, offset), recovered)


def published(offset: int) -> ChatRsp:
    return ChatRsp(message=f"text {offset}", sender="grace", offset=offset)


def read(cursor: RoomCursor, *offsets: int) -> list[int | Gap]:
    """The offsets of the messages that are told when these come, and the gaps."""
    return list(offsets_of([event for each in offsets for event in told(cursor, each)]))


def told(cursor: RoomCursor, offset: int) -> Sequence[Event]:
    return cursor.read(published(offset), "ada")


def offsets_of(events: Sequence[Event]) -> Sequence[int | Gap]:
    return [event.position.offset if isinstance(event, Message) else event for event in events]


def gap(expected: int, newest: int) -> Gap:
    return Gap(Position("e", expected), Position("e", newest))


class TestMessages:
    def test_a_message(self) -> None:
        """A message has its position, its sender, its text, its id and its time in UTC."""
        cursor = RoomCursor()
        cursor.begin(response(6))
        reply = ChatRsp(message="hi", sender="ada", id="1", offset=7, sent_at_ms=1_700_000_000_123)
        at = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
        message = Message(Position("e", 7), "ada", "hi", "1", at, is_own=True)
        assert cursor.read(reply, "ada") == (message,)

    @pytest.mark.parametrize(("user", "is_own"), [("grace", True), ("ada", False), (None, False)])
    def test_own(self, user: str | None, is_own: bool) -> None:
        """A message is one's own when oneself has sent it, from wherever."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        (message,) = cursor.read(published(1), user)
        assert isinstance(message, Message)
        assert message.is_own is is_own

    @pytest.mark.parametrize("sent_at_ms", [2**63 - 1, -(2**63), 2**60])
    def test_an_impossible_time(self, sent_at_ms: int) -> None:
        """A time that no calendar has breaks the protocol."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        with pytest.raises(PeerProtocolError, match="sent an invalid time with message 1"):
            cursor.read(ChatRsp(offset=1, sent_at_ms=sent_at_ms), None)
        assert cursor.resume == Position("e", 0)  # it was not seen

    def test_joins_and_leaves(self) -> None:
        """Joins and leaves are told as they come."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        joined = ChatRsp(kind=ChatRspKind.JOINED, sender="grace")
        left = ChatRsp(kind=ChatRspKind.LEFT, sender="grace")
        assert cursor.read(joined, "ada") == (Joined("grace"),)
        assert cursor.read(left, "ada") == (Left("grace"),)

    @pytest.mark.parametrize("kind", [ChatRspKind.REFUSED, ChatRspKind(77)])
    def test_what_is_no_event(self, kind: ChatRspKind) -> None:
        """Refusals are for their senders, and kinds of later servers for nobody."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        assert cursor.read(ChatRsp(kind=kind, offset=9), "ada") == ()
        assert cursor.resume == Position("e", 0)

    def test_before_any_session(self) -> None:
        """Nothing can come before a session has begun."""
        with pytest.raises(RuntimeError):
            told(RoomCursor(), 1)


class TestOrder:
    def test_joining(self) -> None:
        """A client begins behind the newest message, where it would also resume."""
        cursor = RoomCursor()
        assert cursor.resume is None
        assert cursor.begin(response(6)) == (connected(6),)
        assert cursor.resume == Position("e", 6)
        assert read(cursor, 7, 8) == [7, 8]
        assert cursor.resume == Position("e", 8)

    def test_duplicates(self) -> None:
        """What was seen is dropped when it comes again, such as the copy of a repeated id."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert read(cursor, 1, 2, 3, 3, 1, 4, 0) == [3, 4]

    def test_an_offset_left_out(self) -> None:
        """Where offsets are left out a gap comes first, from the first of them to the last."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert read(cursor, 3, 5, 6, 9) == [3, gap(4, 4), 5, 6, gap(7, 8), 9]

    @given(st.integers(0, 5), st.lists(st.integers(0, 30)))
    def test_whatever_comes(self, newest: int, offsets: list[int]) -> None:
        """Messages and gaps cover each offset once, in order, whatever comes."""
        cursor = RoomCursor()
        cursor.begin(response(newest))
        position, seen = newest, set()
        for event in read(cursor, *offsets):
            if isinstance(event, Gap):
                assert event.expected == Position("e", position + 1)
                position = event.newest.offset
            else:
                assert event == position + 1
                position = event
                seen.add(event)
        missing = {each for each in offsets if each > newest} - seen
        assert all(each < position for each in missing)  # they came too late, after their gap
        assert cursor.resume == Position("e", position)


class TestHistory:
    def test_history(self) -> None:
        """The first message may lie before the newest; from then on there is no gap."""
        cursor = RoomCursor(history=3)
        assert cursor.begin(response(7)) == (connected(7),)
        assert (cursor.resume, cursor.history) == (None, 3)
        assert read(cursor, 5, 6, 7, 8) == [5, 6, 7, 8]
        assert (cursor.resume, cursor.history) == (Position("e", 8), 0)

    def test_an_empty_room(self) -> None:
        """A room that has had no message has no history either."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(0))
        assert cursor.resume == Position("e", 0)

    def test_no_history_is_kept(self) -> None:
        """Where the room keeps none, the first message is the next one."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert read(cursor, 8) == [8]

    def test_a_gap_before_the_first(self) -> None:
        """A first message that is not even the next one shows a gap."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert read(cursor, 10) == [gap(8, 9), 10]

    def test_lost_before_the_first(self) -> None:
        """A session that is lost before any message is followed by one that asks again."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert cursor.begin(response(9)) == (connected(9),)
        assert (cursor.resume, cursor.history) == (None, 3)
        assert read(cursor, 7, 8, 9) == [7, 8, 9]

    def test_more_than_history_was_missed(self) -> None:
        """What was published between the two is missed, where the history is too short for it."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        cursor.begin(response(20))
        assert read(cursor, 18, 19) == [gap(8, 17), 18, 19]

    def test_another_log_before_the_first(self) -> None:
        """A log that was lost before any message was seen is a gap, too."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        lost = Gap(Position("e", 8), Position("f", 0))
        assert cursor.begin(response(2, epoch="f")) == (connected(2, epoch="f"), lost)


class TestComingBack:
    def test_recovered(self) -> None:
        """A session that resumes goes on where the last one was."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        read(cursor, 3)
        back = response(5, recovered=True)
        assert not cursor.has_missed(back)
        assert cursor.begin(back) == (connected(5, recovered=True),)
        assert read(cursor, 3, 4, 5, 6) == [4, 5, 6]

    def test_too_late(self) -> None:
        """One that cannot asks for all there is; the gap ends where that begins."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert cursor.has_missed(response(9))
        assert cursor.begin(response(9)) == (connected(9, recovered=False),)
        assert read(cursor, 6, 7) == [gap(3, 5), 6, 7]

    def test_too_late_and_lost_again(self) -> None:
        """Lost before the first of these has come, it is the same as before."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        cursor.begin(response(9))
        assert cursor.resume == Position("e", 2)
        assert cursor.has_missed(response(9))

    def test_too_late_and_nothing_is_kept(self) -> None:
        """Where the room keeps nothing, the gap is told with the next message."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        cursor.begin(response(9))
        assert read(cursor, 10) == [gap(3, 9), 10]

    def test_another_log(self) -> None:
        """A new log is a gap, at once; all that it has follows."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        back = response(4, epoch="f")
        assert cursor.has_missed(back)
        lost = Gap(Position("e", 3), Position("f", 0))
        assert cursor.begin(back) == (connected(4, epoch="f", recovered=False), lost)
        assert cursor.resume == Position("f", 0)
        assert read(cursor, 1, 2) == [1, 2]

    def test_another_log_that_is_empty(self) -> None:
        """A new log without messages has nothing to be asked for."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert not cursor.has_missed(response(0, epoch="f"))

    def test_a_log_that_went_back(self) -> None:
        """A log that has become shorter is a gap, too: its next messages are others."""
        cursor = RoomCursor()
        cursor.begin(response(5))
        back = response(3)
        assert not cursor.has_missed(back)
        lost = Gap(Position("e", 6), Position("e", 3))
        assert cursor.begin(back) == (connected(3, recovered=False), lost)
        assert read(cursor, 4) == [4]

    def test_a_server_that_says_too_much(self) -> None:
        """No session resumes in another log, whatever its server says."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        connection, lost = cursor.begin(response(2, epoch="f", recovered=True))
        assert connection == connected(2, epoch="f", recovered=False)
        assert isinstance(lost, Gap)

    def test_from_an_earlier_client(self) -> None:
        """A client may begin at the position of an earlier one."""
        cursor = RoomCursor(resume=Position("e", 3))
        assert cursor.resume == Position("e", 3)
        assert cursor.begin(response(5, recovered=True)) == (connected(5, recovered=True),)
        assert read(cursor, 4, 5) == [4, 5]

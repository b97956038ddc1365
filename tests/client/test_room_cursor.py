"""Tests of client/room_cursor.py."""

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
    """Return the offsets of the new messages, and the gaps."""
    return list(offsets_of([event for each in offsets for event in events_of(cursor, each)]))


def events_of(cursor: RoomCursor, offset: int) -> Sequence[Event]:
    return cursor.read(published(offset), "ada")


def offsets_of(events: Sequence[Event]) -> Sequence[int | Gap]:
    return [event.position.offset if isinstance(event, Message) else event for event in events]


def gap(expected: int, newest: int) -> Gap:
    return Gap(Position("e", expected), Position("e", newest))


class TestMessages:
    def test_a_message(self) -> None:
        """A message has position, sender, text, id and time in UTC."""
        cursor = RoomCursor()
        cursor.begin(response(6))
        reply = ChatRsp(message="hi", sender="ada", id="1", offset=7, sent_at_ms=1_700_000_000_123)
        at = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
        message = Message(Position("e", 7), "ada", "hi", "1", at, is_own=True)
        assert cursor.read(reply, "ada") == (message,)

    @pytest.mark.parametrize(("user", "is_own"), [("grace", True), ("ada", False), (None, False)])
    def test_own(self, user: str | None, is_own: bool) -> None:
        """A message of the same user is the client's own."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        (message,) = cursor.read(published(1), user)
        assert isinstance(message, Message)
        assert message.is_own is is_own

    @pytest.mark.parametrize("sent_at_ms", [2**63 - 1, -(2**63), 2**60])
    def test_an_impossible_time(self, sent_at_ms: int) -> None:
        """A time outside of the calendar is a protocol error."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        with pytest.raises(PeerProtocolError, match="sent an invalid time with message 1"):
            cursor.read(ChatRsp(offset=1, sent_at_ms=sent_at_ms), None)
        assert cursor.resume == Position("e", 0)  # it was not seen

    def test_joins_and_leaves(self) -> None:
        """Joins and leaves become events."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        joined = ChatRsp(kind=ChatRspKind.JOINED, sender="grace")
        left = ChatRsp(kind=ChatRspKind.LEFT, sender="grace")
        assert cursor.read(joined, "ada") == (Joined("grace"),)
        assert cursor.read(left, "ada") == (Left("grace"),)

    @pytest.mark.parametrize("kind", [ChatRspKind.REFUSED, ChatRspKind(77)])
    def test_what_is_no_event(self, kind: ChatRspKind) -> None:
        """Refusals and unknown kinds are not events."""
        cursor = RoomCursor()
        cursor.begin(response(0))
        assert cursor.read(ChatRsp(kind=kind, offset=9), "ada") == ()
        assert cursor.resume == Position("e", 0)

    def test_before_any_session(self) -> None:
        """A message before the first session is a programming error."""
        with pytest.raises(RuntimeError):
            events_of(RoomCursor(), 1)


class TestOrder:
    def test_joining(self) -> None:
        """A new client starts after the newest message."""
        cursor = RoomCursor()
        assert cursor.resume is None
        assert cursor.begin(response(6)) == (connected(6),)
        assert cursor.resume == Position("e", 6)
        assert read(cursor, 7, 8) == [7, 8]
        assert cursor.resume == Position("e", 8)

    def test_duplicates(self) -> None:
        """A message that was seen before is dropped."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert read(cursor, 1, 2, 3, 3, 1, 4, 0) == [3, 4]

    def test_an_offset_left_out(self) -> None:
        """Skipped offsets are a gap before the next message."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert read(cursor, 3, 5, 6, 9) == [3, gap(4, 4), 5, 6, gap(7, 8), 9]

    @given(st.integers(0, 5), st.lists(st.integers(0, 30)))
    def test_whatever_comes(self, newest: int, offsets: list[int]) -> None:
        """Messages and gaps cover each offset once, in order."""
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
        """With history, the first message may be older than the newest, without a gap."""
        cursor = RoomCursor(history=3)
        assert cursor.begin(response(7)) == (connected(7),)
        assert (cursor.resume, cursor.history) == (None, 3)
        assert read(cursor, 5, 6, 7, 8) == [5, 6, 7, 8]
        assert (cursor.resume, cursor.history) == (Position("e", 8), 0)

    def test_an_empty_room(self) -> None:
        """An empty room has no history."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(0))
        assert cursor.resume == Position("e", 0)

    def test_no_history_is_kept(self) -> None:
        """If the room keeps no history, the first message is the next one."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert read(cursor, 8) == [8]

    def test_a_gap_before_the_first(self) -> None:
        """A first message after the next one shows a gap."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert read(cursor, 10) == [gap(8, 9), 10]

    def test_lost_before_the_first(self) -> None:
        """After a session without messages, history is requested again."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        assert cursor.begin(response(9)) == (connected(9),)
        assert (cursor.resume, cursor.history) == (None, 3)
        assert read(cursor, 7, 8, 9) == [7, 8, 9]

    def test_more_than_history_was_missed(self) -> None:
        """Messages that the second history does not reach are a gap."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        cursor.begin(response(20))
        assert read(cursor, 18, 19) == [gap(8, 17), 18, 19]

    def test_another_log_before_the_first(self) -> None:
        """A log lost before the first message is a gap."""
        cursor = RoomCursor(history=3)
        cursor.begin(response(7))
        lost = Gap(Position("e", 8), Position("f", 0))
        assert cursor.begin(response(2, epoch="f")) == (connected(2, epoch="f"), lost)


class TestComingBack:
    def test_recovered(self) -> None:
        """A resumed session continues after the last message."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        read(cursor, 3)
        back = response(5, recovered=True)
        assert not cursor.has_missed(back)
        assert cursor.begin(back) == (connected(5, recovered=True),)
        assert read(cursor, 3, 4, 5, 6) == [4, 5, 6]

    def test_too_late(self) -> None:
        """A session that cannot resume asks for everything; the gap ends before it."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert cursor.has_missed(response(9))
        assert cursor.begin(response(9)) == (connected(9, recovered=False),)
        assert read(cursor, 6, 7) == [gap(3, 5), 6, 7]

    def test_too_late_and_lost_again(self) -> None:
        """The gap is still reported if that session is lost before its first message."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        cursor.begin(response(9))
        assert cursor.resume == Position("e", 2)
        assert cursor.has_missed(response(9))

    def test_too_late_and_nothing_is_kept(self) -> None:
        """If the room keeps nothing, the gap comes with the next message."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        cursor.begin(response(9))
        assert read(cursor, 10) == [gap(3, 9), 10]

    def test_another_log(self) -> None:
        """A new log is a gap at once, followed by all its messages."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        back = response(4, epoch="f")
        assert cursor.has_missed(back)
        lost = Gap(Position("e", 3), Position("f", 0))
        assert cursor.begin(back) == (connected(4, epoch="f", recovered=False), lost)
        assert cursor.resume == Position("f", 0)
        assert read(cursor, 1, 2) == [1, 2]

    def test_another_log_that_is_empty(self) -> None:
        """An empty new log is not requested."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        assert not cursor.has_missed(response(0, epoch="f"))

    def test_a_log_that_went_back(self) -> None:
        """A shorter log of the same epoch is a gap."""
        cursor = RoomCursor()
        cursor.begin(response(5))
        back = response(3)
        assert not cursor.has_missed(back)
        lost = Gap(Position("e", 6), Position("e", 3))
        assert cursor.begin(back) == (connected(3, recovered=False), lost)
        assert read(cursor, 4) == [4]

    def test_a_server_that_says_too_much(self) -> None:
        """A session in another log is not recovered, even if the server says so."""
        cursor = RoomCursor()
        cursor.begin(response(2))
        connection, lost = cursor.begin(response(2, epoch="f", recovered=True))
        assert connection == connected(2, epoch="f", recovered=False)
        assert isinstance(lost, Gap)

    def test_from_an_earlier_client(self) -> None:
        """A client can start at the position of an earlier client."""
        cursor = RoomCursor(resume=Position("e", 3))
        assert cursor.resume == Position("e", 3)
        assert cursor.begin(response(5, recovered=True)) == (connected(5, recovered=True),)
        assert read(cursor, 4, 5) == [4, 5]

"""Tests of rooms/log.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms import (
    WINDOW_MS,
    Dedupe,
    Draft,
    Log,
    LogPage,
    Outcome,
    Publication,
    Retention,
    append,
)
from chatify_stream.rooms.position import Position

NOW = 1_700_000_000_000


def drafts(*texts: object, sent_at_ms: int = NOW) -> list[Draft]:
    return [Draft("ada", str(text), "", sent_at_ms) for text in texts]


def read(log: Log, now_ms: int = NOW, **options: int | bool | None) -> LogPage:
    return log.read(
        now_ms, **{"after": 0, "before": None, "limit": 1000, "newest": False, **options}
    )


def texts(page: LogPage) -> list[str]:
    return [publication.text for publication in page.publications]


class TestAppend:
    def test_new(self) -> None:
        """New drafts get the next offsets in order."""
        newest, receipts, added = append(Position("e", 5), drafts("a", "b"), Dedupe())
        assert newest == Position("e", 7)
        assert [receipt.position for receipt in receipts] == [Position("e", 6), Position("e", 7)]
        assert added == [Publication(6, "ada", "a", "", NOW), Publication(7, "ada", "b", "", NOW)]

    def test_known(self) -> None:
        """A known id is not added; its receipt has the first position and time."""
        dedupe = Dedupe()
        first = Draft("ada", "a", "1", NOW)
        append(Position("e", 0), [first], dedupe)
        again, other = first._replace(sent_at_ms=NOW + 9), first._replace(text="b")
        newest, receipts, added = append(Position("e", 4), [again, other], dedupe)
        assert (newest, added) == (Position("e", 4), [])
        assert [receipt.outcome for receipt in receipts] == [Outcome.DUPLICATE, Outcome.CONFLICT]
        assert {(receipt.position, receipt.sent_at_ms) for receipt in receipts} == {
            (Position("e", 1), NOW)
        }

    def test_nothing(self) -> None:
        """Without drafts nothing changes."""
        assert append(Position("e", 5), [], Dedupe()) == (Position("e", 5), [], [])


class TestLog:
    def test_empty(self) -> None:
        """A new log is at offset 0 and empty."""
        log = Log("e", Retention())
        assert read(log) == LogPage(Position("e", 0), 1, [])
        assert log.is_empty
        assert not log.has_messages

    def test_count(self) -> None:
        """The oldest messages above the count are dropped, even while publishing."""
        log = Log("e", Retention(count=3))
        _, added = log.publish(drafts(*range(5)), NOW)
        assert [publication.offset for publication in added] == [1, 2, 3, 4, 5]
        page = read(log)
        assert (page.newest.offset, page.oldest, texts(page)) == (5, 3, ["2", "3", "4"])

    @pytest.mark.parametrize("milliseconds", [-1, 0, 1])
    def test_age(self, milliseconds: int) -> None:
        """A message is dropped when it reaches the maximum age."""
        log = Log("e", Retention(age=2.5))
        log.publish(drafts("a"), NOW)
        log.publish(drafts("b", sent_at_ms=NOW + 1000), NOW + 1000)
        page = read(log, NOW + 2500 + milliseconds)
        assert texts(page) == (["a", "b"] if milliseconds < 0 else ["b"])
        assert page.oldest == (1 if milliseconds < 0 else 2)
        page = read(log, NOW + 3500)
        assert (page.newest.offset, page.oldest, page.publications) == (2, 3, [])
        assert not log.has_messages

    def test_ids_outlive_messages(self) -> None:
        """A log without messages is not empty while it knows an id."""
        log = Log("e", Retention(count=0))
        draft = Draft("ada", "a", "1", NOW)
        log.publish([draft], NOW)
        assert not log.has_messages
        assert not log.is_empty
        [receipt], added = log.publish([draft], NOW + WINDOW_MS - 1)
        assert (receipt.outcome, added) == (Outcome.DUPLICATE, [])
        log.expire(NOW + WINDOW_MS)
        assert log.is_empty

    @given(
        count=st.integers(0, 12),
        after=st.integers(0, 14),
        before=st.none() | st.integers(0, 14),
        limit=st.integers(0, 14),
        newest=st.booleans(),
    )
    def test_read(
        self, count: int, after: int, before: int | None, limit: int, newest: bool
    ) -> None:
        """Every combination of arguments reads the same messages as slicing a list."""
        log = Log("e", Retention(count=7))
        _, added = log.publish(drafts(*range(count)), NOW)
        kept = added[-7:]
        found = [
            each for each in kept if after < each.offset < (count + 1 if before is None else before)
        ]
        expected = found[max(0, len(found) - limit) :] if newest else found[:limit]
        page = read(log, after=after, before=before, limit=limit, newest=newest)
        assert page == LogPage(Position("e", count), max(1, count - 6), expected)

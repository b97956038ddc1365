"""Tests of brokers/sqlite/room_index.py: batches and the index, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream.brokers.sqlite.errors import DamagedError
from chatify_stream.brokers.sqlite.room_index import Batch, RoomIndex
from chatify_stream.brokers.sqlite.schema import StateRow
from chatify_stream.rooms import WINDOW_MS, Draft, Outcome, Retention, RetentionRule
from chatify_stream.testing import Recorder

from .opened import NOW_MS, drafts


class Desk:
    """A index, and a subscriber, without a database."""

    def __init__(self) -> None:
        rules = [RetentionRule("short*", Retention(count=1))]
        self.index = RoomIndex(StateRow("id", 1, 1, 0, 0, 1, 1), Retention(), rules)
        self.subscribed: set[str] = set()
        self.recorder = Recorder()

    def batch(self, now_ms: int = NOW_MS) -> Batch:
        return Batch(self.index, self.subscribed, self.recorder, now_ms)

    def commit(self, batch: Batch) -> None:
        self.index.accept(batch.changes, self.index.state_after(batch.changes))
        for tell in batch.notifications:
            tell()


@pytest.fixture
async def desk() -> Desk:
    return Desk()


class TestPublishing:
    def test_rows(self, desk: Desk) -> None:
        """A batch has the rows of its messages, ids, rooms and state."""
        batch = desk.batch()
        first = Draft("ada", "a", "1", NOW_MS)
        batch.publish("lobby", [first, *drafts("b")])
        batch.publish("attic", [first._replace(sent_at_ms=NOW_MS + 5)])
        batch.publish("lobby", drafts("c"))
        changes = batch.changes
        assert [row[:4] for row in changes.messages] == [
            (1, 1, "ada", "a"),
            (1, 2, "ada", "b"),
            (2, 1, "ada", "a"),
            (1, 3, "ada", "c"),
        ]
        assert [row[:5] for row in changes.ids] == [(1, 1, "ada", "1", 1), (2, 2, "ada", "1", 1)]
        lobby, attic = changes.rows["lobby"], changes.rows["attic"]
        assert (lobby.number, lobby.newest, lobby.oldest, lobby.latest_ms) == (1, 3, 1, NOW_MS)
        assert (attic.number, attic.newest, attic.oldest, attic.latest_ms) == (2, 1, 1, NOW_MS + 5)
        state = desk.index.state_after(changes)
        assert (state.sequence, state.next_room, state.rooms, state.next_id) == (2, 3, 2, 3)

    def test_nothing_new(self, desk: Desk) -> None:
        """Repetitions alone need no writing."""
        draft = Draft("ada", "a", "1", NOW_MS)
        batch = desk.batch()
        batch.publish("lobby", [draft])
        desk.commit(batch)
        batch = desk.batch()
        [receipt] = batch.publish("lobby", [draft])
        assert receipt.outcome is Outcome.DUPLICATE
        assert not batch.writes

    def test_nothing_before_the_commit(self, desk: Desk) -> None:
        """Until it was committed the index knows nothing of it, and nobody is told."""
        desk.subscribed.add("lobby")
        batch = desk.batch()
        batch.publish("lobby", drafts("a"))
        assert desk.index.rooms == {}
        assert desk.recorder.delivered == {}

    def test_undone(self, desk: Desk) -> None:
        """What was not committed is forgotten: offsets, ids, rooms and subscriptions."""
        batch = desk.batch()
        batch.subscribe("lobby")
        batch.publish("lobby", [Draft("ada", "a", "1", NOW_MS)])
        desk.commit(batch)
        batch = desk.batch()
        batch.publish("lobby", [Draft("ada", "b", "2", NOW_MS)])
        batch.unsubscribe("lobby")
        batch.subscribe("attic")
        batch.unsubscribe("attic")
        batch.subscribe("attic")
        batch.undo()
        assert desk.subscribed == {"lobby"}
        batch = desk.batch()
        receipts = batch.publish("lobby", [Draft("ada", t, i, NOW_MS) for t, i in ("b2", "a1")])
        assert [(r.outcome, r.position.offset) for r in receipts] == [
            (Outcome.PUBLISHED, 2),
            (Outcome.DUPLICATE, 1),
        ]
        desk.commit(batch)
        assert desk.recorder.offsets("lobby") == [1, 2]

    def test_ids_are_forgotten(self, desk: Desk) -> None:
        """An id may be used again after its window."""
        for now_ms, offset in ((NOW_MS, 1), (NOW_MS + WINDOW_MS, 2)):
            batch = desk.batch(now_ms)
            [receipt] = batch.publish("lobby", [Draft("ada", "a", "1", now_ms)])
            assert (receipt.outcome, receipt.position.offset) == (Outcome.PUBLISHED, offset)
            desk.commit(batch)


class TestTelling:
    def test_from_the_subscription_on(self, desk: Desk) -> None:
        """In one batch, too, what comes after a subscription is told, and nothing before it."""
        batch = desk.batch()
        batch.publish("lobby", drafts("a"))
        batch.subscribe("lobby")
        batch.publish("lobby", drafts("bc"))
        batch.publish("attic", drafts("x"))
        batch.publish("lobby", drafts("d"))
        batch.unsubscribe("lobby")
        batch.publish("lobby", drafts("e"))
        batch.subscribe("lobby")
        batch.publish("lobby", drafts("f"))
        desk.commit(batch)
        assert [position.offset for position in desk.recorder.begun["lobby"]] == [1, 5]
        assert desk.recorder.offsets("lobby") == [2, 3, 4, 6]
        assert desk.recorder.faults == []

    def test_together(self, desk: Desk) -> None:
        """What follows each other in a room is told in one call."""
        desk.subscribed |= {"lobby", "attic"}
        batch = desk.batch()
        for text in "abc":
            batch.publish("lobby", drafts(text))
            batch.publish("attic", drafts(text))
        assert len(batch.notifications) == 2

    def test_unsubscribe_from_nothing(self, desk: Desk) -> None:
        """It does nothing."""
        batch = desk.batch()
        batch.unsubscribe("lobby")
        assert not batch.writes
        batch.undo()
        assert desk.subscribed == set()


class TestRoomIndex:
    def test_retention(self, desk: Desk) -> None:
        """A room has the retention of its rule."""
        batch = desk.batch()
        assert batch.create("short 1").retention.count == 1
        assert batch.create("lobby").retention.count == 10_000

    def test_created_once(self, desk: Desk) -> None:
        """A room that is there is not made again, before the commit or after it."""
        batch = desk.batch()
        room = batch.create("lobby")
        assert batch.create("lobby") is room
        desk.commit(batch)
        batch = desk.batch()
        assert batch.create("lobby") is room
        assert not batch.writes

    def load(self, desk: Desk, state: StateRow, rooms: Any, ids: Any) -> None:
        RoomIndex(state, Retention()).load(rooms, ids)

    def test_what_is_loaded(self, desk: Desk) -> None:
        """What the batches have left is loaded; less, or something older, is not."""
        rooms: list[Any] = []
        ids: list[Any] = []
        for text in "abc":
            batch = desk.batch()
            for room in ("lobby", "attic"):
                batch.publish(room, [Draft("ada", text, text, NOW_MS)])
            desk.commit(batch)
            rooms.append([room.row for room in desk.index.rooms.values()])
            ids += batch.changes.ids
        state = desk.index.state
        self.load(desk, state, rooms[2], ids)
        for wrong in (rooms[0], rooms[1], [rooms[1][0], rooms[2][1]], rooms[2][:1], []):
            with pytest.raises(DamagedError, match="rooms are missing"):
                self.load(desk, state, wrong, ids)
        for wrong in (ids[1:], ids[:-1], [ids[0], *ids[2:]], []):
            with pytest.raises(DamagedError, match="ids are missing"):
                self.load(desk, state, rooms[2], wrong)

    def test_removed(self, desk: Desk) -> None:
        """A removed room is not counted any more, and its number is not used again."""
        batch = desk.batch()
        batch.create("lobby")
        batch.create("attic")
        desk.commit(batch)
        changes = desk.index.changes()
        changes.removed.append(desk.index.rooms["attic"])
        desk.index.accept(changes, desk.index.state_after(changes))
        assert set(desk.index.rooms) == {"lobby"}
        rows = [room.row for room in desk.index.rooms.values()]
        self.load(desk, desk.index.state, rows, [])
        batch = desk.batch()
        assert batch.create("attic").row.number == 3

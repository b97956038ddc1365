"""Tests of client/unacked.py, on values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.client.unacked import UnackedMessages


def filled(*ids: str) -> UnackedMessages:
    unacked = UnackedMessages()
    for each in ids:
        unacked.add(each, f"text {each}")
    return unacked


def written(unacked: UnackedMessages, most: int = 100) -> list[str]:
    """The ids of what is written now."""
    ids = []
    while len(ids) < most and (message := unacked.take_next()) is not None:
        assert message[1] == f"text {message[0]}"
        ids.append(message[0])
    return ids


class TestOrder:
    def test_in_order(self) -> None:
        """Messages are written in the order in which they were added, each once."""
        unacked = filled("a", "b")
        assert written(unacked) == ["a", "b"]
        unacked.add("c", "text c")
        assert written(unacked) == ["c"]
        assert unacked.take_next() is None
        assert len(unacked) == 3

    def test_again(self) -> None:
        """A new session writes all that is not acknowledged, in the same order."""
        unacked = filled("a", "b", "c", "d")
        written(unacked, 3)
        unacked.remove("b")
        unacked.begin_session()
        assert written(unacked) == ["a", "c", "d"]

    def test_removed(self) -> None:
        """What was removed is not written, whether it was before or not."""
        unacked = filled("a", "b", "c")
        written(unacked, 1)
        unacked.remove("a")
        unacked.remove("b")
        unacked.remove("b")
        assert written(unacked) == ["c"]
        unacked.begin_session()
        assert written(unacked) == ["c"]

    @given(st.lists(st.sampled_from(["add", "write", "remove", "begin"])), st.randoms())
    def test_whatever_happens(self, steps: list[str], chance: object) -> None:
        """Each session writes, in order and once, what was there when it came to it."""
        unacked, here, session = UnackedMessages(), [], []
        for number, step in enumerate(steps):
            if step == "add":
                here.append(f"{number:04}")
                unacked.add(here[-1], f"text {here[-1]}")
            elif step == "write":
                session += written(unacked, 1)
            elif step == "remove" and here:
                unacked.remove(here.pop(chance.randrange(len(here))))
            elif step == "begin":
                unacked.begin_session()
                session = []
            assert len(unacked) == len(here)
        session += written(unacked)
        assert session == sorted(set(session))
        assert set(here) <= set(session)


class TestBounds:
    def test_number(self) -> None:
        """So many messages are let in, and one more when one is gone."""
        unacked = UnackedMessages(max_messages=2)
        unacked.add("a", "")
        assert unacked.has_room_for("")
        unacked.add("b", "")
        assert not unacked.has_room_for("")
        written(unacked, 0)
        unacked.remove("a")
        assert unacked.has_room_for("")

    def test_characters(self) -> None:
        """So many characters are let in, written or not."""
        unacked = UnackedMessages(max_characters=5)
        unacked.add("a", "abc")
        assert unacked.has_room_for("de")
        assert not unacked.has_room_for("def")
        unacked.take_next()
        assert not unacked.has_room_for("def")
        unacked.remove("a")
        assert unacked.has_room_for("def")

    def test_a_large_one(self) -> None:
        """A message of any size is let in by itself."""
        unacked = UnackedMessages(max_characters=5)
        assert unacked.has_room_for("x" * 100)
        unacked.add("a", "x" * 100)
        assert not unacked.has_room_for("")

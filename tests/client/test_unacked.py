"""Tests of `UnackedMessages` of client/sender.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.client.sender import UnackedMessages


def filled(*ids: str) -> UnackedMessages:
    unacked = UnackedMessages()
    for each in ids:
        unacked.add(each, f"text {each}")
    return unacked


def written(unacked: UnackedMessages, most: int = 100) -> list[str]:
    """Return the ids that are written now."""
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
        """A new session writes all unacknowledged messages in the same order."""
        unacked = filled("a", "b", "c", "d")
        written(unacked, 3)
        unacked.remove("b")
        unacked.begin_session()
        assert written(unacked) == ["a", "c", "d"]

    def test_removed(self) -> None:
        """A removed message is not written, whether it was written before or not."""
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
        """Each session writes the present messages once and in order."""
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
        """At most max_messages are accepted until one is removed."""
        unacked = UnackedMessages(max_messages=2)
        unacked.add("a", "")
        assert unacked.has_room_for("")
        unacked.add("b", "")
        assert not unacked.has_room_for("")
        written(unacked, 0)
        unacked.remove("a")
        assert unacked.has_room_for("")

    def test_characters(self) -> None:
        """At most max_characters are accepted, written or not."""
        unacked = UnackedMessages(max_characters=5)
        unacked.add("a", "abc")
        assert unacked.has_room_for("de")
        assert not unacked.has_room_for("def")
        unacked.take_next()
        assert not unacked.has_room_for("def")
        unacked.remove("a")
        assert unacked.has_room_for("def")

    def test_a_large_one(self) -> None:
        """A message of any size is accepted if nothing else is there."""
        unacked = UnackedMessages(max_characters=5)
        assert unacked.has_room_for("x" * 100)
        unacked.add("a", "x" * 100)
        assert not unacked.has_room_for("")

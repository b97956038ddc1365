"""Tests of client/outgoing.py, on values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.client.unacked import Outgoing


def filled(*ids: str) -> Outgoing:
    outgoing = Outgoing()
    for each in ids:
        outgoing.add(each, f"text {each}")
    return outgoing


def written(outgoing: Outgoing, most: int = 100) -> list[str]:
    """The ids of what is written now."""
    ids = []
    while len(ids) < most and (message := outgoing.take_next()) is not None:
        assert message[1] == f"text {message[0]}"
        ids.append(message[0])
    return ids


class TestOrder:
    def test_in_order(self) -> None:
        """Messages are written in the order in which they were added, each once."""
        outgoing = filled("a", "b")
        assert written(outgoing) == ["a", "b"]
        outgoing.add("c", "text c")
        assert written(outgoing) == ["c"]
        assert outgoing.take_next() is None
        assert len(outgoing) == 3

    def test_again(self) -> None:
        """A new session writes all that is not acknowledged, in the same order."""
        outgoing = filled("a", "b", "c", "d")
        written(outgoing, 3)
        outgoing.remove("b")
        outgoing.begin_session()
        assert written(outgoing) == ["a", "c", "d"]

    def test_removed(self) -> None:
        """What was removed is not written, whether it was before or not."""
        outgoing = filled("a", "b", "c")
        written(outgoing, 1)
        outgoing.remove("a")
        outgoing.remove("b")
        outgoing.remove("b")
        assert written(outgoing) == ["c"]
        outgoing.begin_session()
        assert written(outgoing) == ["c"]

    @given(st.lists(st.sampled_from(["add", "write", "remove", "begin"])), st.randoms())
    def test_whatever_happens(self, steps: list[str], chance: object) -> None:
        """Each session writes, in order and once, what was there when it came to it."""
        outgoing, here, session = Outgoing(), [], []
        for number, step in enumerate(steps):
            if step == "add":
                here.append(f"{number:04}")
                outgoing.add(here[-1], f"text {here[-1]}")
            elif step == "write":
                session += written(outgoing, 1)
            elif step == "remove" and here:
                outgoing.remove(here.pop(chance.randrange(len(here))))
            elif step == "begin":
                outgoing.begin_session()
                session = []
            assert len(outgoing) == len(here)
        session += written(outgoing)
        assert session == sorted(set(session))
        assert set(here) <= set(session)


class TestBounds:
    def test_number(self) -> None:
        """So many messages are let in, and one more when one is gone."""
        outgoing = Outgoing(most_messages=2)
        outgoing.add("a", "")
        assert outgoing.has_room_for("")
        outgoing.add("b", "")
        assert not outgoing.has_room_for("")
        written(outgoing, 0)
        outgoing.remove("a")
        assert outgoing.has_room_for("")

    def test_characters(self) -> None:
        """So many characters are let in, written or not."""
        outgoing = Outgoing(most_characters=5)
        outgoing.add("a", "abc")
        assert outgoing.has_room_for("de")
        assert not outgoing.has_room_for("def")
        outgoing.take_next()
        assert not outgoing.has_room_for("def")
        outgoing.remove("a")
        assert outgoing.has_room_for("def")

    def test_a_large_one(self) -> None:
        """A message of any size is let in by itself."""
        outgoing = Outgoing(most_characters=5)
        assert outgoing.has_room_for("x" * 100)
        outgoing.add("a", "x" * 100)
        assert not outgoing.has_room_for("")

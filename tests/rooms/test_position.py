"""Tests of rooms/position.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms.position import MAX_OFFSET, Position, can_resume, new_epoch

EPOCHS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
OFFSETS = st.integers(0, MAX_OFFSET)


@given(EPOCHS, OFFSETS)
def test_as_text(epoch: str, offset: int) -> None:
    """The text form of a position is parsed to the same position."""
    position = Position(epoch, offset)
    assert str(position) == f"{epoch}/{offset}"
    assert Position.parse(str(position)) == position


@given(st.text())
def test_any_text(text: str) -> None:
    """Only the text form of a position is parsed."""
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert str(position) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "e",
        "e/",
        "/1",
        "e/-1",
        "e/+1",
        "e/1 ",
        " e/1",
        "e/01",
        "e/1.0",
        "e/1e3",
        "e/0x1",
        "e/1_000",
        "e/١",
        "e/²",
        "e//1",
        "e/f/1",
        "é/1",
        "e e/1",
        "e\n/1",
        "e/1\n",
        "x" * 65 + "/1",
        "e/" + "9" * 20,
    ],
)
def test_not_a_position(text: str) -> None:
    """Other texts are rejected, and the error shows the format."""
    with pytest.raises(ValueError, match=r"is not a position; use EPOCH/OFFSET"):
        Position.parse(text)


def test_too_large_offset() -> None:
    """An offset above the maximum is rejected."""
    assert Position.parse(f"e/{MAX_OFFSET}").offset == MAX_OFFSET
    with pytest.raises(ValueError, match=f"is larger than {MAX_OFFSET}"):
        Position.parse(f"e/{MAX_OFFSET + 1}")


def test_epochs() -> None:
    """Epochs are unique and valid in a position."""
    epochs = {new_epoch() for _ in range(1000)}
    assert len(epochs) == 1000
    for epoch in epochs:
        assert Position.parse(f"{epoch}/0") == (epoch, 0)


@pytest.mark.parametrize(
    ("after", "newest", "oldest", "can"),
    [
        (("e", 0), ("e", 0), 1, True),  # nothing was ever published
        (("e", 3), ("e", 5), 1, True),
        (("e", 5), ("e", 5), 1, True),  # nothing was missed
        (("e", 6), ("e", 5), 1, False),  # from the future
        (("f", 3), ("e", 5), 1, False),  # of another epoch
        (("e", 2), ("e", 5), 3, True),  # the oldest kept is the next
        (("e", 1), ("e", 5), 3, False),  # one is gone
        (("e", 5), ("e", 5), 6, True),  # none is kept, and none was missed
        (("e", 4), ("e", 5), 6, False),  # none is kept, and one was missed
        (("e", 0), ("e", 5), 1, True),  # from the beginning
        (("", 0), ("e", 0), 1, False),
    ],
)
def test_whole_or_nothing(
    after: tuple[str, int], newest: tuple[str, int], oldest: int, can: bool
) -> None:
    """A session can resume only if every missed message is still in the log."""
    assert can_resume(Position(*after), Position(*newest), oldest) is can


@given(st.integers(0, 30), st.integers(0, 20), st.integers(0, 20))
def test_as_promised(after: int, newest: int, kept: int) -> None:
    """A session can resume exactly if all missed messages are in the log."""
    kept = min(kept, newest)
    missed = set(range(after + 1, newest + 1))
    in_the_log = set(range(newest - kept + 1, newest + 1))
    can = after <= newest and missed <= in_the_log
    assert can_resume(Position("e", after), Position("e", newest), newest - kept + 1) is can

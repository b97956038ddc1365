"""Tests of position.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms.position import MAX_OFFSET, Position, new_epoch

EPOCHS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
OFFSETS = st.integers(0, MAX_OFFSET)


@given(EPOCHS, OFFSETS)
def test_as_text(epoch: str, offset: int) -> None:
    """What a position is written as is read as that position."""
    position = Position(epoch, offset)
    assert str(position) == f"{epoch}/{offset}"
    assert Position.parse(str(position)) == position


@given(st.text())
def test_any_text(text: str) -> None:
    """A text that is taken for a position is the one way in which that is written."""
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
def test_what_is_no_position(text: str) -> None:
    """It is refused, and the text says what a position is."""
    with pytest.raises(ValueError, match=r"is not a position; use EPOCH/OFFSET"):
        Position.parse(text)


def test_an_offset_that_cannot_be() -> None:
    """No storage has larger offsets than the largest."""
    assert Position.parse(f"e/{MAX_OFFSET}").offset == MAX_OFFSET
    with pytest.raises(ValueError, match=f"is larger than {MAX_OFFSET}"):
        Position.parse(f"e/{MAX_OFFSET + 1}")


def test_epochs() -> None:
    """Each is new, and can be a part of a position."""
    epochs = {new_epoch() for _ in range(1000)}
    assert len(epochs) == 1000
    for epoch in epochs:
        assert Position.parse(f"{epoch}/0") == (epoch, 0)

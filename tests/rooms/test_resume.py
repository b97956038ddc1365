"""Tests of chat/resume.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.rooms import can_resume
from chatify_stream.rooms.position import Position


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
    """A session resumes only where every message that it missed is still there."""
    assert can_resume(Position(*after), Position(*newest), oldest) is can


@given(st.integers(0, 30), st.integers(0, 20), st.integers(0, 20))
def test_as_promised(after: int, newest: int, kept: int) -> None:
    """It can exactly if what it missed is known, and among what is kept."""
    kept = min(kept, newest)
    missed = set(range(after + 1, newest + 1))
    in_the_log = set(range(newest - kept + 1, newest + 1))
    can = after <= newest and missed <= in_the_log
    assert can_resume(Position("e", after), Position("e", newest), newest - kept + 1) is can

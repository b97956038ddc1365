"""Tests of brokers/sqlite/rows.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.brokers.sqlite.errors import DamagedError
from chatify_stream.brokers.sqlite.rows import IdRow, MessageRow, RoomRow, StateRow, seal
from chatify_stream.rooms import DedupeEntry, Publication

ROWS: list[Any] = [
    (StateRow, StateRow("0f", 7, 3, 2, 99, 1, 5)),
    (RoomRow, RoomRow(1, "lobby", "epoch", 9, 2, 1_700_000_000_000)),
    (IdRow, (4, 1, "ada", "id", 9, 1_700_000_000_000, -5)),
]


@pytest.mark.parametrize(("kind", "row"), ROWS)
def test_checked(kind: Any, row: tuple[object, ...]) -> None:
    """A row is taken as it was written, and not when any of its fields is another."""
    stored = (*row, seal(row))
    assert tuple(kind.checked(stored))[: len(row)] == row
    for position, value in enumerate(stored):
        other = value + 1 if isinstance(value, int) else f"{value}x"
        with pytest.raises(DamagedError):
            kind.checked((*stored[:position], other, *stored[position + 1 :]))


def test_made() -> None:
    """A message and an id are sealed when their rows are made."""
    publication = Publication(9, "ada", "聊 🦊", "id", 5)
    row = MessageRow.of(1, publication)
    assert row == (1, *publication, seal((1, *publication)))
    known = IdRow.of(4, 1, "ada", "id", DedupeEntry(9, 5, -3))
    assert IdRow.checked(known) == known


@given(st.lists(st.integers() | st.text(), min_size=1), st.data())
def test_seal(fields: list[object], data: st.DataObject) -> None:
    """It fits into an SQLite integer, and is another one when a field is."""
    position = data.draw(st.integers(0, len(fields) - 1))
    other = [*fields]
    other[position] = f"{fields[position]}!"
    assert -(2**63) <= seal(fields) < 2**63
    assert seal(fields) != seal(other)

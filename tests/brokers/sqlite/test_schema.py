"""Tests of the rows of brokers/sqlite/schema.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.brokers.sqlite.errors import DamagedError
from chatify_stream.brokers.sqlite.schema import IdRow, RoomRow, StateRow, checked, seal, sealed

ROWS: list[Any] = [
    (StateRow, StateRow("0f", 7, 3, 2, 99, 1, 5)),
    (RoomRow, RoomRow(1, "lobby", "epoch", 9, 2, 1_700_000_000_000)),
    (IdRow, IdRow(4, 1, "ada", "聊 🦊", 9, 1_700_000_000_000, -5)),
]


@pytest.mark.parametrize(("kind", "row"), ROWS)
def test_checked(kind: Any, row: tuple[object, ...]) -> None:
    """A row is accepted as it was stored, and rejected if any of its fields differs."""
    stored = sealed(row)
    assert stored == (*row, seal(row))
    assert checked(kind, stored) == row
    for position, value in enumerate(stored):
        other = value + 1 if isinstance(value, int) else f"{value}x"
        with pytest.raises(DamagedError, match="was changed"):
            checked(kind, (*stored[:position], other, *stored[position + 1 :]))


@given(st.lists(st.integers() | st.text(), min_size=1), st.data())
def test_seal(fields: list[object], data: st.DataObject) -> None:
    """A seal fits into an SQLite integer and changes with every field."""
    position = data.draw(st.integers(0, len(fields) - 1))
    other = [*fields]
    other[position] = f"{fields[position]}!"
    assert -(2**63) <= seal(fields) < 2**63
    assert seal(fields) != seal(other)

"""A table of methods that are bound when they are looked up."""

from __future__ import annotations

import pytest

from chatify_stream.wire.http2.h2_connection import LazyMethodTable


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name
        self.table = LazyMethodTable(self, {1: self.one})

    def one(self) -> str:
        return f"one of {self.name}"


class Other(Owner):
    def one(self) -> str:
        return f"another of {self.name}"


def test_each_owner_has_its_own_methods() -> None:
    """A method is bound to the owner of the table, of whatever class."""
    owners = [Owner("a"), Owner("b"), Other("c")]
    assert [owner.table[1]() for owner in owners] == ["one of a", "one of b", "another of c"]


def test_what_is_not_there() -> None:
    """A table knows what is in it, and what is not."""
    table = Owner("a").table
    assert 1 in table
    assert 2 not in table
    with pytest.raises(KeyError):
        table[2]

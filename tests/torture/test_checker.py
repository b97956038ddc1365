"""The checker finds what is planted, and nothing where all is well."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from .checker import Break, Delivery, Record, faults

LOG = [Delivery("e", n, "ada" if n % 2 else "bob", f"id{n}", f"text {n}") for n in range(1, 7)]


def recorded() -> tuple[dict[str, list[Delivery]], list[Record]]:
    """Two clients that saw everything; the second came after two messages."""
    records = []
    for user, first in (("ada", 0), ("bob", 2)):
        own = {d.id: (d.text, d.epoch, d.offset) for d in LOG if d.sender == user}
        records.append(Record("room", user, own, LOG[first:]))
    return copy.deepcopy(({"room": LOG}, records))


def test_nothing_is_wrong() -> None:
    """A run in which everything was kept has no faults."""
    assert faults(*recorded()) == []


Change = Callable[[list[Delivery], list[Record]], object]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda log, _: log.pop(), "acknowledged to bob"),
        (lambda log, _: log.pop(2), "offset 4 in the place of 3"),
        (lambda log, _: log.append(log[0]._replace(offset=7)), "in the log twice, at 1 and 7"),
        (lambda log, _: log.append(log[0]._replace(id="new", offset=7)), "got nothing after"),
        (lambda log, _: log.append(log[0]._replace(epoch="f", id="", offset=7)), "several epochs"),
        (lambda log, _: log.insert(0, log.pop(1)), "offset 2 in the place of 1"),
        (lambda log, _: log.__setitem__(0, log[0]._replace(text="x")), "acknowledged to ada"),
        (lambda _, records: records[0].delivered.pop(), "got nothing after offset 5"),
        (lambda _, records: records[0].delivered.pop(3), "got offset 5 in the place of 4"),
        (lambda _, records: records[0].delivered.insert(3, LOG[2]), "got offset 3 in the place"),
        (lambda _, records: records[0].delivered.clear(), "got nothing after"),
        (lambda _, records: records[0].delivered.reverse(), "in the place of"),
        (
            lambda _, records: records[1].breaks.append(Break(3, ("e", 4), ("e", 4))),
            "bob was told that it missed ('e', 4)",
        ),
        (lambda _, records: records[1].failed.append("id2"), "bob could not send id2"),
        (
            lambda _, records: records[0].delivered.__setitem__(1, LOG[1]._replace(text="x")),
            "and in the log is",
        ),
    ],
)
def test_what_is_wrong(change: Change, text: str) -> None:
    """Whatever is lost, doubled, out of order, made up or missing is found."""
    logs, records = recorded()
    change(logs["room"], records)
    found = faults(logs, records)
    assert any(text in fault for fault in found), found


def test_a_client_without_deliveries() -> None:
    """A client that came when all was said has missed nothing, if there was nothing."""
    logs, records = recorded()
    assert faults({"room": []}, [replace(records[0], acknowledged={}, delivered=[])]) == []
    assert logs

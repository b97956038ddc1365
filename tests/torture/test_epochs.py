"""The checker of losses finds what is planted, and nothing where everybody was told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .checker import Break, Delivery, Record
from .epochs import epochs_told, unannounced

OLD = [Delivery("old", n, "ada", f"id{n}", f"text {n}") for n in range(1, 6)]
NEW = [Delivery("new", n, "ada", f"new{n}", f"text {n}") for n in range(1, 4)]


def recorded() -> tuple[dict[str, list[Delivery]], list[Record]]:
    """Two clients that were led from the one log to the other."""
    records = [
        Record("room", user, {}, [*OLD, *NEW], [Break(5, ("old", 6), ("new", 0))])
        for user in ("ada", "bob")
    ]
    records[0].acknowledged = {d.id: (d.text, d.epoch, d.offset) for d in [*OLD, *NEW]}
    return {"room": list(NEW)}, records


def test_everybody_was_told() -> None:
    """What is lost with its epoch is no fault."""
    logs, records = recorded()
    assert unannounced(logs, records, 1) == []
    assert epochs_told(records[0]) == ["new"]


def test_before_anything_came() -> None:
    """A client that has got nothing of the first epoch is told all the same."""
    logs, records = recorded()
    records[1].delivered = list(NEW)
    records[1].breaks = [Break(0, ("old", 3), ("new", 0))]
    assert unannounced(logs, records, 1) == []


Change = Callable[[list[Delivery], list[Record]], object]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _, records: records[1].breaks.clear(), "got ('new', 1) in the place of ('old', 6)"),
        (lambda _, records: records[1].breaks.clear(), "told of 0 epochs, there were 1"),
        (lambda _, records: records[1].delivered.pop(1), "('old', 3) in the place of ('old', 2)"),
        (lambda _, records: records[1].delivered.pop(5), "('new', 2) in the place of ('new', 1)"),
        (
            lambda _, records: records[1].breaks.__setitem__(0, Break(5, ("old", 8), ("new", 0))),
            "told to miss ('old', 8), and ('old', 6) was due",
        ),
        (
            lambda _, records: records[1].delivered.insert(7, NEW[1]),
            "('new', 2) in the place of ('new', 3)",
        ),
        (
            lambda _, records: records[1].breaks.append(Break(8, ("new", 4), ("old", 2))),
            "sent back to the epoch old",
        ),
        (
            lambda _, records: records[1].breaks.append(Break(8, ("new", 4), ("new", 6))),
            "missed messages of the same log",
        ),
        (
            lambda _, records: records[1].delivered.__setitem__(2, OLD[2]._replace(text="x")),
            "bob got Delivery(epoch='old', offset=3, sender='ada', id='id3', text='x'), and",
        ),
        (lambda _, records: records[1].delivered.pop(), "bob has not got the last message"),
        (lambda log, _: log.__setitem__(1, log[1]._replace(text="x")), "ada was acknowledged"),
        (lambda log, _: log.__setitem__(1, log[1]._replace(text="x")), "which is not in the log"),
        (lambda log, _: log.pop(1), "the log has offset 3 in the place of 2"),
    ],
)
def test_what_is_wrong(change: Change, text: str) -> None:
    """A hole, a repetition or a contradiction that nobody was told of is found."""
    logs, records = recorded()
    change(logs["room"], records)
    found = unannounced(logs, records, 1)
    assert any(text in fault for fault in found), found

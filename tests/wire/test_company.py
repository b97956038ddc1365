"""Tests of wire/company.py."""

from __future__ import annotations

from chatify_stream.wire.company import LONG_TURN, SHORT_TURN
from chatify_stream.wire.connections import Connections


class Connection:
    def abort(self) -> None:
        pass


def test_turns() -> None:
    """They are long for one that is alone, and short while there are several."""
    connections, ada, grace = Connections(), Connection(), Connection()
    company = connections.company
    turns = []
    for change in (connections.add, connections.discard):
        for connection in (ada, grace):
            change(connection)
            turns.append(company.turn)
    assert turns == [LONG_TURN, SHORT_TURN, LONG_TURN, LONG_TURN]

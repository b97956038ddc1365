"""Tests of wire/company.py."""

from __future__ import annotations

from chatify_stream.wire.connection.fair_share import LONG_TURN, SHORT_TURN
from chatify_stream.wire.connection.registry import Connections


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


def test_pauses() -> None:
    """They are for one that floods beside others, and for no more than one."""
    connections = Connections()
    company = connections.company
    connections.add(Connection())
    company.waiting = 1
    assert company.pauses == 0
    connections.add(Connection())
    assert company.pauses == SHORT_TURN.pauses > 0
    company.waiting = 2
    assert company.pauses == 0

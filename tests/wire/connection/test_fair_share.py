"""Tests of wire/connection/fair_share.py."""

from __future__ import annotations

from chatify_stream.wire.connection.fair_share import LONG_QUANTUM, SHORT_QUANTUM
from chatify_stream.wire.connection.registry import Connections


class Connection:
    def abort(self) -> None:
        pass


def test_turns() -> None:
    """Turns are long for a single connection and short for several."""
    connections, ada, grace = Connections(), Connection(), Connection()
    fair_share = connections.fair_share
    turns = []
    for change in (connections.add, connections.discard):
        for connection in (ada, grace):
            change(connection)
            turns.append(fair_share.quantum)
    assert turns == [LONG_QUANTUM, SHORT_QUANTUM, LONG_QUANTUM, LONG_QUANTUM]


def test_pauses() -> None:
    """Pauses apply to a single flooding connection among others."""
    connections = Connections()
    fair_share = connections.fair_share
    connections.add(Connection())
    fair_share.waiting = 1
    assert fair_share.pauses == 0
    connections.add(Connection())
    assert fair_share.pauses == SHORT_QUANTUM.pauses > 0
    fair_share.waiting = 2
    assert fair_share.pauses == 0

"""Tests of wire/company.py."""

from __future__ import annotations

from chatify_stream.wire.company import LONG_TURN, RECENT, SHORT_TURN, Company


def test_turns() -> None:
    """They are long for who is alone, and short while several have something to do."""
    company, ada, grace = Company(), object(), object()
    assert company.turn(ada, 100.0) is SHORT_TURN  # who knows
    assert company.turn(ada, 100.0 + RECENT) is LONG_TURN
    assert company.turn(grace, 101.0) is SHORT_TURN
    assert company.turn(ada, 101.0) is SHORT_TURN
    assert company.turn(ada, 101.0 + RECENT / 2) is SHORT_TURN
    assert company.turn(ada, 101.0 + RECENT) is LONG_TURN

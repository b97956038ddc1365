"""How much is done for one connection before others have their turn.

An event loop serves one connection after the other, so whoever waits behind one that floods waits
for as long as that has its turn. Short turns cost a few percent of what a flood can do; so they are
short only while several connections have something to do, and a connection that is alone has long
ones.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LONG_TURN", "SHORT_TURN", "Company", "Turn"]


class Turn(NamedTuple):
    """What is done for one connection."""

    frames: int
    """That are read, with the messages in them."""
    calls: int
    """That begin."""


SHORT_TURN = Turn(frames=128, calls=2)
"""Some 0.2 ms."""

LONG_TURN = Turn(frames=2048, calls=16)

RECENT = 0.25
"""Seconds after which nobody else is expected any more."""


class Company:
    """Of the connections of one server, or channel."""

    __slots__ = ("_last", "_mixed_at")

    def __init__(self) -> None:
        self._last = 0
        self._mixed_at = 0.0

    def turn(self, who: object, now: float) -> Turn:
        """How much may be done at a time for this connection, of which something has come now."""
        if self._last != id(who):
            self._last, self._mixed_at = id(who), now
        return SHORT_TURN if now < self._mixed_at + RECENT else LONG_TURN

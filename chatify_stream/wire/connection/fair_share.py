"""How much is done for one connection before others have their turn.

An event loop serves one connection after the other, so whoever waits behind one that floods waits
for as long as that has its turn. What a turn brings is answered in the next iteration of the loop,
and sent in the one after it; if each had a turn of the flood as well, whoever comes would wait for
three of them, so there are pauses between. Short turns cost a tenth of what a flood can do, and a
connection that is alone has long ones; pauses as much, and there are none where several flood.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LONG_QUANTUM", "SHORT_QUANTUM", "FairShare", "Quantum"]


class Quantum(NamedTuple):
    """What is done for one connection."""

    frames: int
    """That are read, with the messages in them."""
    messages: int
    """That a call is given before it lets others run: asyncio does not while there is more."""
    calls: int
    """That begin."""
    pauses: int
    """Iterations of the event loop between two turns, of the only one that waits for its next."""


SHORT_QUANTUM = Quantum(frames=64, messages=64, calls=2, pauses=2)
"""Some 0.15 ms."""

LONG_QUANTUM = Quantum(frames=2048, messages=128, calls=16, pauses=0)


class FairShare:
    """The connections of one server, or channel."""

    __slots__ = ("quantum", "waiting")

    def __init__(self) -> None:
        self.quantum = LONG_QUANTUM
        """That each of them has."""
        self.waiting = 0
        """How many have more to read, and wait for their next turn."""

    @property
    def pauses(self) -> int:
        """Iterations of the event loop until the next turn."""
        return self.quantum.pauses if self.waiting == 1 else 0

    def counts(self, connections: int) -> None:
        """So many are open."""
        self.quantum = SHORT_QUANTUM if connections > 1 else LONG_QUANTUM

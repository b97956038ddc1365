"""Limit the work for one connection before other connections are served.

An event loop serves one connection after the other, so every peer waits while one connection is
busy. Data that was read in one iteration of the loop is answered in the next iteration and sent in
the one after it. If a flooding connection took its share in each of these, other peers would wait
for three shares, so there are pauses between two shares. Short quanta cost a flooding peer a tenth
of its throughput. A connection that is alone therefore gets long ones. Pauses cost as much again,
and there are none while several connections flood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Quantum(NamedTuple):
    """The work for one connection before others are served."""

    frames: int
    """Frames to read, with the messages in them."""
    messages: int
    """Messages to give to one call before its task yields. asyncio does not yield by itself while
    there are more."""
    calls: int
    """Calls to start."""
    pauses: int
    """Iterations of the event loop between two quanta of the only connection that has more."""


SHORT_QUANTUM = Quantum(frames=64, messages=64, calls=2, pauses=2)
"""About 0.15 ms."""

LONG_QUANTUM = Quantum(frames=2048, messages=128, calls=16, pauses=0)


@dataclass(eq=False, repr=False, slots=True)
class FairShare:
    """The quantum for each connection of one server or channel."""

    quantum: Quantum = LONG_QUANTUM
    waiting: int = 0
    """Number of connections that have more data to read and wait for their next quantum."""

    @property
    def pauses(self) -> int:
        """Iterations of the event loop until the next quantum."""
        return self.quantum.pauses if self.waiting == 1 else 0

    def counts(self, connections: int) -> None:
        self.quantum = SHORT_QUANTUM if connections > 1 else LONG_QUANTUM

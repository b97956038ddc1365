"""What this process holds: for the tests that nothing is left behind and nothing grows."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from grpclib.protocol import Stream
from h2.connection import H2Connection

__all__ = ["Footprint", "descriptors", "footprint", "held"]

DESCRIPTORS = Path("/proc/self/fd")
MEMORY = Path("/proc/self/statm")

MOST_BLOCKS = 10_000
MOST_MEGABYTES = 16.0
"""By which a process may grow that has warmed up, however long it runs."""


@dataclass(frozen=True)
class Footprint:
    """After all garbage was collected. What the system does not tell is 0."""

    streams: int
    connections: int
    tasks: int
    """Beside the one that asks."""
    descriptors: int
    blocks: int
    """That Python has allocated."""
    resident: float
    """Megabytes of memory."""

    def left_since(self, before: Footprint) -> str | None:
        """What there is more of than before; None for nothing."""
        names = ("streams", "connections", "tasks", "descriptors")
        if all(getattr(self, name) <= getattr(before, name) for name in names):
            return None
        return f"something is left: {before} became {self}"

    def grown_since(self, before: Footprint) -> str | None:
        """Says so when the process has grown by more than caches do; None if not."""
        if (
            self.blocks <= before.blocks + MOST_BLOCKS
            and self.resident <= before.resident + MOST_MEGABYTES
        ):
            return None
        return f"it grows: {before} became {self}"

    def __str__(self) -> str:
        return (
            f"{self.streams} streams, {self.connections} connections, {self.tasks} tasks, "
            f"{self.descriptors} descriptors, {self.blocks} blocks, {self.resident:.1f} MB"
        )


def footprint() -> Footprint:
    """What is held now. Called in a task."""
    streams, connections = held(Stream), held(H2Connection)
    resident = 0.0
    if MEMORY.exists():
        resident = int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    return Footprint(
        streams=len(streams),
        connections=len(connections),
        tasks=len(asyncio.all_tasks()) - 1,
        descriptors=descriptors(),
        blocks=sys.getallocatedblocks(),
        resident=resident,
    )


def held(kind: type) -> list[object]:
    """The objects of a class, once all garbage was collected."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, kind)]


def descriptors() -> int:
    """How many files and sockets are open."""
    return len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.exists() else 0

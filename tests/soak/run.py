"""Runs cycles against a server in this process, over loopback, and looks at what is left."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator

from chatify_stream import ChatServer

from ..footprint import Footprint, descriptors, footprint
from .cycles import CYCLES, reply

__all__ = ["soak"]

AT_ONCE = 16
PATIENCE = 30.0


async def soak(
    cycles: int, every: int, seed: int, report: Callable[[int, Footprint], object]
) -> None:
    """Runs so many cycles, some of them at once.

    `report` gets what the process holds before the first, and after every so many, when all of
    them are over, or have had half a minute to be.
    """
    log = logging.getLogger("chatify_stream.wire")
    level = log.level
    log.setLevel(logging.CRITICAL)  # handlers fail on purpose
    try:
        async with ChatServer(reply=reply) as server:
            await server.start("127.0.0.1", 0)
            before = footprint()
            report(0, before)
            for start in range(0, cycles, every):
                stop = min(start + every, cycles)
                numbers = iter(range(start, stop))
                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_ONCE):
                        group.create_task(_run(server.port, numbers, seed))
                await _are_over(server, before)
                report(stop, footprint())
    finally:
        log.setLevel(level)


async def _run(port: int, numbers: Iterator[int], seed: int) -> None:
    kinds = list(CYCLES.values())
    for number in numbers:
        kind = kinds[number % len(kinds)]
        try:
            async with asyncio.timeout(PATIENCE):
                await kind(port, random.Random(f"{seed} {number}"))
        except (Exception, asyncio.CancelledError) as error:
            error.add_note(f"in cycle {number} of seed {seed}: {kind.__name__}")
            raise


async def _are_over(server: ChatServer, before: Footprint) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while (
                server.open_calls
                or len(asyncio.all_tasks()) > 1 + before.tasks
                or descriptors() > before.descriptors
            ):
                await asyncio.sleep(0.01)
    except TimeoutError:
        pass  # what is left is reported

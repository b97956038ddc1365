"""Runs inputs, one after the other, each known by the run's seed and its number.

On the same Python, these make the same input.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from .client_side import ClientSide
from .memory import HungError, MemoryLoop
from .server_side import ServerSide
from .stories import CLIENT_TARGETS, SERVER_TARGETS, Story
from .watch import Watch

__all__ = ["TARGETS", "Fault", "input_of", "run", "target_of"]

TARGETS = (*SERVER_TARGETS, *CLIENT_TARGETS)

BYSTANDER_EVERY = 97
"""Inputs; of any target, since no two of them share a factor."""


@dataclass
class Fault:
    """An input that showed a fault."""

    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        story, _ = input_of(self.seed, self.number)
        return (
            f"input {self.number} of seed {self.seed}, {target_of(self.number)}: {self.what}\n"
            f"again: tox -e fuzz -- --seed {self.seed} --only {self.number}\n"
            f"bytes: {' '.join(chunk.hex() for chunk in story.chunks)}"
        )


def target_of(number: int) -> str:
    """What the input of this number is for."""
    return TARGETS[number % len(TARGETS)]


def input_of(seed: int, number: int) -> tuple[Story, Random]:
    """The input, and the chance that decides what else happens while it runs."""
    target = target_of(number)
    chance = Random(f"{seed} {number}")
    make = SERVER_TARGETS.get(target) or CLIENT_TARGETS[target]
    return make(chance), chance


def run(
    seed: int, numbers: Iterable[int], after_each: Callable[[int], object] = lambda number: None
) -> tuple[Fault | None, Counter[str]]:
    """Runs the inputs of these numbers; the first fault ends it. Counts what came of them."""
    loop = MemoryLoop()
    current = 0

    async def run_all(watch: Watch) -> Counter[str]:
        nonlocal current
        server_side, client_side = ServerSide(loop), ClientSide(loop)
        await server_side.start()
        for current in numbers:
            story, chance = input_of(seed, current)
            if target_of(current) in CLIENT_TARGETS:
                await client_side.run(story, chance)
            else:
                await server_side.run(story, chance)
                if current % BYSTANDER_EVERY == 0:
                    await server_side.check_bystander(story)
            watch.check()
            after_each(current)
        await server_side.close()
        return server_side.outcomes + client_side.outcomes

    with Watch().on(loop) as watch, asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return None, runner.run(run_all(watch))
        except (Exception, HungError):
            what = traceback.format_exc()
        gc.collect()  # what the fault has left behind tells nothing new
    return Fault(seed, current, what), Counter()

"""Sends both sides of the wire what no peer should: `tox -e fuzz -- --inputs 1000000`.

Each input is one connection, made of the seed and its number. A fault ends the run with status 1
and says how to see it again. Every so often the run looks at what the process holds: nothing of
any input may be left, and memory may not grow.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from ..footprint import Footprint, footprint
from .memory import HungError
from .run import TARGETS, run
from .watch import FaultError

SECONDS = 60
"""That an input may take at the very most."""


def stuck(*args: object) -> None:
    raise HungError(f"nothing else has run for {SECONDS} seconds")


class Growth:
    """Looks at the process every so many inputs."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._inputs = 0
        self._started = time.perf_counter()
        self._seen: list[Footprint] = []

    def count(self, number: int) -> None:
        """Raises `FaultError` when something is left, or memory grows."""
        signal.alarm(SECONDS)
        self._inputs += 1
        if self._inputs > 1 and self._inputs % self._every:
            return
        now = footprint()
        self._seen.append(now)
        rate = self._inputs / (time.perf_counter() - self._started)
        print(f"{self._inputs:9,} inputs, {rate:.0f} a second: {now}", flush=True)
        warm = self._seen[min(2, len(self._seen) - 1)]
        if fault := now.left_since(self._seen[0]) or now.grown_since(warm):
            raise FaultError(fault)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e fuzz --", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="any number (%(default)s)")
    parser.add_argument("--target", choices=TARGETS, help="only inputs of this kind")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this input alone")
    arguments = parser.parse_args()
    numbers = range(arguments.inputs)
    if arguments.target is not None:
        first, step = TARGETS.index(arguments.target), len(TARGETS)
        numbers = range(first, step * arguments.inputs, step)
    if arguments.only is not None:
        numbers = range(arguments.only, arguments.only + 1)
    signal.signal(signal.SIGALRM, stuck)
    fault, outcomes = run(arguments.seed, numbers, Growth(every=10_000).count)
    if fault is not None:
        print(fault, file=sys.stderr)
        return 1
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:9,} {outcome}")
    print(f"{len(numbers):9,} inputs, and no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Connects, calls and leaves, in every way there is: `tox -e soak -- --cycles 100000`.

After every tenth of the cycles nothing of them may be left: no stream, no connection, no task, no
descriptor; and memory may not grow. Otherwise the run ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from ..footprint import Footprint
from .run import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e soak --", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="any number (%(default)s)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    seen: list[Footprint] = []

    def report(cycles: int, now: Footprint) -> None:
        seen.append(now)
        rate = cycles / (time.perf_counter() - started)
        print(f"{cycles:9,} cycles, {rate:.0f} a second: {now}", flush=True)

    every = max(1, arguments.cycles // 10)
    asyncio.run(soak(arguments.cycles, every, arguments.seed, report))
    for now in seen[1:]:
        if fault := now.left_since(seen[0]) or now.grown_since(seen[min(2, len(seen) - 1)]):
            print(fault, file=sys.stderr)
            return 1
    print("nothing is left, and nothing grows")
    return 0


if __name__ == "__main__":
    sys.exit(main())

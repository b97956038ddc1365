"""Kills a server while clients talk in its rooms: `tox -e torture -- --messages 100000`.

At the end no acknowledged message may be lost, none be there twice or out of order, and every
client must have got all of its room; otherwise the run ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from .run import torture


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e torture --", description=__doc__)
    for name, default in (
        ("rooms", 20),
        ("clients", 100),
        ("messages", 100_000),
        ("kills", 20),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help="%(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            torture(Path(folder), **vars(arguments), say=lambda text: print(text, flush=True))
        )
    print(
        f"{report.messages:,} messages acknowledged, {report.deliveries:,} delivered, "
        f"{report.kills} kills, {report.seconds:.0f} s"
    )
    for fault in report.faults[:50]:
        print(fault, file=sys.stderr)
    print(f"{len(report.faults)} faults")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())

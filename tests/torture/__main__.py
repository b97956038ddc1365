"""Ends servers while clients talk in their rooms: `tox -e torture -- nodes --messages 100000`.

`server` kills one server, with its rooms in SQLite. `nodes` kills three behind HAProxy, and the
Redis that they share, and parts one from the other. `losses` has Redis lose messages, and `rolling`
restarts the nodes one after the other. When a promise was not kept, the run ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .losses import torture_by_losses
from .nodes import torture_nodes
from .report import Report
from .rolling import roll
from .run import torture

SCENES: dict[str, tuple[Callable[..., Awaitable[Report]], dict[str, float]]] = {
    "server": (torture, {"rooms": 20, "clients": 100, "messages": 100_000, "kills": 20}),
    "nodes": (
        torture_nodes,
        {
            "nodes": 3,
            "rooms": 50,
            "clients": 200,
            "messages": 100_000,
            "kills": 50,
            "restarts": 20,
            "partitions": 20,
            "longest": 30.0,
            "most-seconds": 5.0,
        },
    ),
    "losses": (
        torture_by_losses,
        {"nodes": 3, "rooms": 50, "clients": 200, "losses": 10, "rate": 400, "apart": 10.0},
    ),
    "rolling": (
        roll,
        {
            "nodes": 3,
            "rooms": 200,
            "clients": 1000,
            "rate": 250,
            "grace": 10.0,
            "most-seconds": 60.0,
        },
    ),
}
"""What can be run, and with which numbers where no others are given."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e torture --", description=__doc__)
    scenes = parser.add_subparsers(metavar="SCENE", dest="scene")
    for name, (_, defaults) in SCENES.items():
        scene = scenes.add_parser(name)
        for option, default in {**defaults, "seed": 0}.items():
            scene.add_argument(
                f"--{option}", type=type(default), default=default, help="%(default)s"
            )
    words = sys.argv[1:]
    if not words or words[0].startswith("--"):
        words = ["server", *words] if words != ["--help"] else words
    numbers = vars(parser.parse_args(words))
    run = SCENES[numbers.pop("scene")][0]
    try:
        report = asyncio.run(_until_told(run, numbers))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    for fault in report.faults[:50]:
        print(fault, file=sys.stderr)
    print(report)
    return 1 if report.faults else 0


async def _until_told(run: Callable[..., Awaitable[Report]], numbers: dict[str, Any]) -> Report:
    """SIGTERM, like Ctrl-C, leaves nothing behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f}  {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        return await run(Path(folder), **numbers, say=say)


if __name__ == "__main__":
    sys.exit(main())

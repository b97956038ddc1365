"""Attacks a server in every way there is: `tox -e attacks`, or with `-- --only "ping flood"`.

The server is `chatify-stream serve` in a process of its own, with its default settings, but for
attacks on what is off by default. Each attack
is made by one connection, and then by as many at once as the table says. When anything was not as
it has to be, the run ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from .run import scene
from .table import ATTACKS, Form

TITLE = (
    f"{'attack':50} {'conns':>5} {'time':>8} {'peak':>7} {'left':>7}     {'log':>10} {'log':>9}"
    f" {'p99':>6} {'p50':>6} {'p99':>7} {'worst':>8}"
)


async def attack_all(names: list[str], form: Form, most: int) -> int:
    """Each with a server of its own, so that nothing that another left behind is used again."""
    faults = 0
    print(TITLE)
    for name in names:
        attack = ATTACKS[name]
        async with scene(attack.site, time_to_settle=1.0) as here:
            for connections in sorted({1, min(attack.together, most)}):
                outcome = await here.make([attack], form, connections)
                print(outcome, f"  {attack.sees}", flush=True)
                for fault in outcome.faults:
                    print(f"    WRONG: {fault}", flush=True)
                faults += len(outcome.faults)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e attacks --", description=__doc__)
    parser.add_argument("--only", action="append", help="attacks with this in their name")
    parser.add_argument("--scale", type=float, default=1.0, help="of frames (%(default)s)")
    parser.add_argument(
        "--connections", type=int, default=1000, help="at once, at most (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="none that takes its time")
    arguments = parser.parse_args()
    only = arguments.only or [""]
    names = [name for name in ATTACKS if any(each in name for each in only)]
    if arguments.quick:
        names = [name for name in names if not ATTACKS[name].takes_time]
    form = Form(scale=arguments.scale, drip=1.0)
    faults = asyncio.run(attack_all(names, form, arguments.connections))
    print(f"{len(names)} attacks, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast the server and the client are beside their peers, in one run: `tox -e bench`.

What is measured runs pinned to one core, and what it works with to another. In every round all
take turns, so that a change of the machine's speed meets them all; the figures are the medians of
the rounds. Compare ratios, not messages a second: those are the machine's.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.e2e.processes import ProcessFailed

from .cases import CASES, SCALING, SCALING_KEY, Case
from .measure import HAS_PROC, Bench, Figures, is_busy, raise_file_limit, two_cores
from .peers import build_binaries, grpc_go_version, make_certificate, pairs
from .results import Results
from .table import own_table, scaling_table, speed_table, target_table

KEYS = [*(case.key for case in CASES), SCALING_KEY]
COMPARED = {case.key for case in CASES if case.who != "our server"}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often; %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="how long a measurement is; %(default)s"
    )
    parser.add_argument(
        "--only", nargs="+", choices=KEYS, default=KEYS, metavar="CASE", help=", ".join(KEYS)
    )
    parser.add_argument("--chart", type=Path, help="draw the comparison to this file, a PNG say")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    if arguments.seconds <= 0:
        parser.error("--seconds is more than 0")
    if arguments.chart is not None:
        if not arguments.chart.parent.is_dir():
            parser.error(f"--chart: there is no folder {arguments.chart.parent}")
        if COMPARED.isdisjoint(arguments.only):
            keys = ", ".join(arguments.only)
            parser.error(f"--chart shows how peers compare: {keys} has none")
    if shutil.which("go") is None:
        parser.error("Go is not installed: the load client and a peer are built with it")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if arguments.chart is not None:
        from .chart import draw  # fails now, not at the end, where matplotlib is missing
    cases = possible([case for case in (*CASES, *SCALING) if case.key in arguments.only])
    if is_busy():
        print(
            "this machine is busy with something else: the figures will say little", file=sys.stderr
        )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments.seconds, two_cores(), *make_certificate(Path(folder)))
        results = run(bench, cases, arguments.rounds)
    print(about(bench, arguments.rounds))
    for make_table in (speed_table, own_table, target_table, scaling_table):
        if table := make_table(results):
            print(f"\n{table}")
    if arguments.chart is not None:
        draw(results, arguments.chart)
        print(f"\nThe chart is {arguments.chart}.")


def possible(cases: list[Case]) -> list[Case]:
    """The cases that this system can measure; the others are named."""
    most_connections = raise_file_limit()
    found = []
    for case in cases:
        if case.needs_proc and not HAS_PROC:
            problem = "it needs Linux' /proc"
        elif case.connections > most_connections:
            problem = f"it needs {case.connections:,} open files (ulimit -n)"
        else:
            found.append(case)
            continue
        print(f"{case.title}: left out: {problem}", file=sys.stderr)
    return found


def run(bench: Bench, cases: list[Case], rounds: int) -> Results:
    """All rounds; each figure is told on standard error when it is there."""
    binaries = build_binaries()
    results: dict[Case, dict[str, list[Figures]]] = {case: {} for case in cases}
    for turn in range(1, rounds + 1):
        for case in cases:
            for name, pair in pairs(case.who, binaries).items():
                try:
                    figures = bench.measure(case, pair)
                except (ProcessFailed, RuntimeError) as error:
                    sys.exit(f"{case.title}: {name}: {error}")
                results[case].setdefault(name, []).append(figures)
                figure = f"{figures[case.figure]:,.1f} {case.unit}"
                print(f"round {turn}: {case.title}: {name}: {figure}", file=sys.stderr)
    return results


def about(bench: Bench, rounds: int) -> str:
    """What a reader of the figures has to know."""
    cores = "not pinned to cores" if bench.cores is None else "server and client on a core each"
    versions = ", ".join(
        [
            f"Python {platform.python_version()}",
            *(f"{name} {version(name)}" for name in ("grpclib", "grpcio")),
            f"grpc-go {grpc_go_version()}",
        ]
    )
    return (
        f"Medians of {rounds} rounds of {bench.seconds:g} s, {cores}; {versions}.\n"
        "A message is 15 bytes where nothing else is said. In brackets: ours divided by theirs."
    )


if __name__ == "__main__":
    main()

"""How fast the server is beside its peers, in one run: `tox -e bench`.

Each server runs pinned to one core and a grpc-go client to another. The servers take turns in
every round, so that a change of the machine's speed meets them all; the figures are the medians
of the rounds. Compare ratios, not messages a second: those are the machine's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.peers import build_go_peers
from tests.e2e.processes import ListeningProcess

GRPCIO = Path(__file__).resolve().parents[1] / "e2e" / "grpcio_server.py"

PYTHON_SERVERS = {
    "chatify-stream": ["-m", "chatify_stream", "serve", "--host", "127.0.0.1", "--port", "0"],
    "plain grpclib": ["-m", "tests.bench.servers.plain_grpclib"],
    "grpcio asyncio": [str(GRPCIO)],
}

# What the Go client does, and how many messages that is.
CASES = {
    "flood, 1 stream": (["many", "-count", "50000"], 50_000),
    "ping-pong, 1 stream": (["pingpong", "-count", "4000"], 4_000),
    "200 streams, 4 connections": (
        ["parallel", "-streams", "200", "-connections", "4", "-count", "50"],
        10_000,
    ),
}


def pinned(core: int, argv: list[str]) -> list[str]:
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        return argv
    return ["taskset", "--cpu-list", str(core), *argv]


def measure(client: list[str], address: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        pinned(1, [client[0], client[1], "-addr", address, "-timeout-ms", "120000", *client[2:]]),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    binaries = build_go_peers()
    client = str(binaries / "client")
    servers = {name: [sys.executable, *argv] for name, argv in PYTHON_SERVERS.items()}
    servers["grpc-go"] = [str(binaries / "server")]
    seconds: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        addresses = {
            name: stack.enter_context(ListeningProcess(*pinned(0, argv))).address
            for name, argv in servers.items()
        }
        for _ in range(rounds):
            for case, (argv, _messages) in CASES.items():
                for name, address in addresses.items():
                    taken = measure([client, *argv], address)
                    seconds.setdefault((case, name), []).append(taken)
    first = next(iter(servers))
    print(f"{'messages a second':28}" + "".join(f"{name:>22}" for name in servers))
    for case, (_argv, messages) in CASES.items():
        rates = {name: messages / statistics.median(seconds[case, name]) for name in servers}
        cells = [f"{rate:,.0f} ({rates[first] / rate:.2f})" for rate in rates.values()]
        print(f"{case:28}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"in brackets: how many times as fast {first} is; medians of {rounds} rounds")


if __name__ == "__main__":
    main()

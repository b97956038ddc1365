"""Runs a server and its load, each on a core of its own, and takes the load client's figures.

Every measurement has a server of its own, so that none meets what another has left behind.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.request import urlopen

from tests.e2e.processes import ListeningProcess
from tests.ports import free_port

from .cases import Case
from .peers import Pair

__all__ = ["HAS_PROC", "Bench", "Figures", "is_busy", "raise_file_limit", "two_cores"]

Figures = dict[str, float]

WARMUP = 0.3
"""How long the warm-up is, of the time that is measured."""

SECONDS = 300
"""The load clients give up long before."""

BUSY = 0.5
"""How many programs are ready to run on a machine that is not idle, on the average."""

SCRAPE_INTERVAL = 1.0

OTHER_FILES = 100
"""Files that a server or client may have open beside its connections, at most."""

HAS_PROC = Path("/proc/self/smaps_rollup").exists()


def two_cores() -> tuple[int, int] | None:
    """A core for the server and one for the load; None where processes cannot be pinned to them."""
    if sys.platform != "linux" or shutil.which("taskset") is None:
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def raise_file_limit() -> float:
    """Lets servers have as many connections as the system allows, and says how many.

    They inherit it.
    """
    if sys.platform == "win32":
        return math.inf
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses what it calls unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if files == resource.RLIM_INFINITY else files - OTHER_FILES


@contextmanager
def scraped(port: int) -> Iterator[None]:
    """Asks for the metrics once a second. Raises `OSError` when they cannot be had."""
    is_over = Event()

    def scrape() -> None:
        while True:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as response:
                response.read()
            if is_over.wait(SCRAPE_INTERVAL):
                return

    with ThreadPoolExecutor() as pool:
        scraping = pool.submit(scrape)
        try:
            yield
        finally:
            is_over.set()
        scraping.result()


def is_busy() -> bool:
    """Other programs use the machine, or have until a minute ago; then figures say little."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY


@dataclass(frozen=True)
class Bench:
    """How measurements are made."""

    seconds: float
    cores: tuple[int, int] | None
    certificate: Path
    key: Path

    def measure(self, case: Case, pair: Pair) -> Figures:
        """Raises `RuntimeError`, with what the load client says, when there is no figure.

        And `ProcessFailed`, with what the server says, when that does not start.
        """
        files = ("--certificate", str(self.certificate), "--key", str(self.key))
        with tempfile.TemporaryDirectory() as folder:
            metrics = free_port()
            flags = [flag.format(folder=folder, metrics=metrics) for flag in case.server]
            server = (*pair.server, *flags, *(files if case.tls else ()))
            with ListeningProcess(*self._pinned(0, server)) as process, ExitStack() as stack:
                if str(metrics) in flags:
                    stack.enter_context(scraped(metrics))
                return self._loaded(case, process, pair.load, files[:2] if case.tls else ())

    def _loaded(
        self, case: Case, server: ListeningProcess, client: Sequence[str], trust: Sequence[str]
    ) -> Figures:
        """What the client measures of a server that runs."""
        seconds = self.seconds * case.longer
        times = ("--seconds", f"{seconds}", "--warmup", f"{self.seconds * WARMUP}")
        load = [*client, *case.load, "--addr", server.address, *times, *trust]
        if case.needs_proc:
            load += ["--pid", f"{server.pid}"]
        ran = subprocess.run(
            self._pinned(1, load), capture_output=True, encoding="utf-8", timeout=SECONDS
        )
        if ran.returncode != 0:
            raise RuntimeError(f"{' '.join(load)}\n{ran.stderr}{server.stderr()}")
        figures: Figures = json.loads(ran.stdout)
        return figures

    def _pinned(self, index: int, argv: Sequence[str]) -> list[str]:
        if self.cores is None:
            return list(argv)
        return ["taskset", "--cpu-list", f"{self.cores[index]}", *argv]

"""Runs a server and its load, each on a core of its own, and takes the load client's figures.

Every measurement has a server of its own, so that none meets what another has left behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import ListeningProcess

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

HAS_PROC = Path("/proc/self/smaps_rollup").exists()


def two_cores() -> tuple[int, int] | None:
    """A core for the server and one for the load; None where processes cannot be pinned to them."""
    if sys.platform != "linux" or shutil.which("taskset") is None:
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def raise_file_limit() -> None:
    """Lets servers have as many connections as the system allows; they inherit it."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses what it calls unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
        """Raises `RuntimeError`, with what the load client says, when there is no figure."""
        files = ("--certificate", str(self.certificate), "--key", str(self.key))
        server = (*pair.server, *files) if case.tls else pair.server
        with ListeningProcess(*self._pinned(0, server)) as process:
            times = ("--seconds", f"{self.seconds}", "--warmup", f"{self.seconds * WARMUP}")
            load = [*pair.load, *case.load, "--addr", process.address, *times]
            if case.tls:
                load += files[:2]
            if case.needs_proc:
                load += ["--pid", f"{process.pid}"]
            ran = subprocess.run(
                self._pinned(1, load), capture_output=True, encoding="utf-8", timeout=SECONDS
            )
            if ran.returncode != 0:
                raise RuntimeError(f"{' '.join(load)}\n{ran.stderr}{process.stderr()}")
        figures: Figures = json.loads(ran.stdout)
        return figures

    def _pinned(self, index: int, argv: Sequence[str]) -> list[str]:
        if self.cores is None:
            return list(argv)
        return ["taskset", "--cpu-list", f"{self.cores[index]}", *argv]

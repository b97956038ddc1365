"""The server under attack, seen from outside: its memory, its descriptors, and what it logs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..e2e.processes import ServerProcess

__all__ = ["AttackedServer", "Seen"]

KILOBYTES = 1024


@dataclass(frozen=True)
class Seen:
    """What the server holds at one moment."""

    descriptors: int
    resident: int
    """Bytes of memory."""


class AttackedServer(ServerProcess):
    """`chatify-stream serve`."""

    @property
    def _proc(self) -> Path:
        return Path("/proc") / str(self.pid)

    def seen(self) -> Seen:
        """What it holds now."""
        rollup = (self._proc / "smaps_rollup").read_text()
        return Seen(len(os.listdir(self._proc / "fd")), _kilobytes("Rss", rollup))

    def forget_peak(self) -> None:
        """From now on `peak` is what it has held at the most since now."""
        (self._proc / "clear_refs").write_text("5")

    def peak(self) -> int:
        """Bytes of memory, as the kernel has counted them."""
        return _kilobytes("VmHWM", (self._proc / "status").read_text())


def _kilobytes(name: str, text: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert match is not None, f"no {name} in {text}"
    return int(match[1]) * KILOBYTES

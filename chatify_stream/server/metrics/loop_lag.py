"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

from .histogram import Histogram

__all__ = ["LoopLag"]

INTERVAL = 1.0

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LoopLag:
    """Asks to be called once a second, and notes how late that was."""

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due_at = time.monotonic() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def stop(self) -> None:
        """May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def stalled(self) -> float:
        """For how many seconds it has kept its next call waiting. Any thread may ask."""
        return 0.0 if self._timer is None else max(0.0, time.monotonic() - self._due_at)

    def _tick(self) -> None:
        self.seconds.observe(self.stalled)
        self.start()

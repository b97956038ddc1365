"""How a node is: what its process does, second by second, and whether its broker is there.

Rules: one timer, from `start` to `stop`. What is per second, and the share of a core, are of the
last `WINDOW` seconds; the lag is the longest of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Load", "Pulse"]

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two beats."""

WINDOW = 5


class Load(NamedTuple):
    """What a node does now."""

    cpu: float
    """Of one core, from 0 to 1, or more with threads."""
    loop_lag: float
    """Seconds that the event loop was late."""
    published: float
    """Messages a second."""
    delivered: float
    """Messages a second, times the sessions that they were given to."""


class _Beat(NamedTuple):
    at: float
    lag: float
    cpu: float
    published: int
    delivered: int


class Pulse:
    """Beats once a second."""

    def __init__(
        self,
        counts: Callable[[], tuple[int, int]],
        is_available: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """`counts` gives the messages that were published and delivered so far."""
        self._counts = counts
        self._is_available = is_available
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._beats: deque[_Beat] = deque(maxlen=WINDOW + 1)
        self._timer: asyncio.TimerHandle | None = None
        self._was_available: bool | None = None
        self.on_availability: Callable[[bool], object] = lambda _: None
        """Told whether the broker is there: with the first beat, and whenever that has changed."""

    def start(self) -> None:
        """Beats for the first time, at once."""
        self._beats.clear()
        self._was_available = None
        self._beat(self._clock())

    def stop(self) -> None:
        """May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def load(self) -> Load:
        """All 0 in the first second."""
        if len(self._beats) < 2:
            return Load(0.0, 0.0, 0.0, 0.0)
        first, last = self._beats[0], self._beats[-1]
        seconds = max(last.at - first.at, 0.001)
        return Load(
            cpu=(last.cpu - first.cpu) / seconds,
            loop_lag=max(beat.lag for beat in self._beats),
            published=(last.published - first.published) / seconds,
            delivered=(last.delivered - first.delivered) / seconds,
        )

    def _beat(self, due_at: float) -> None:
        now = self._clock()
        beat = _Beat(now, max(0.0, now - due_at), self._cpu_clock(), *self._counts())
        self._beats.append(beat)
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._beat, now + INTERVAL)
        is_available = self._is_available()
        if is_available is not self._was_available:
            if not is_available:
                log.warning("the broker is away: what is said in rooms waits, or is refused")
            elif self._was_available is not None:
                log.info("the broker is there again")
            self._was_available = is_available
            self.on_availability(is_available)

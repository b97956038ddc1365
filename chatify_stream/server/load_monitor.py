"""Monitor the event loop and the load of the process.

One timer ticks in the event loop. Once a second it takes a `Sample`: how late the loop was, how
much CPU time the process has used, and how many messages it has published and delivered.
`LoadMonitor.load` is computed from the samples of the last `WINDOW` seconds.

With `stall_timeout`, the timer ticks at least four times within that time, and a thread checks
that it does. A stall of the loop is logged twice: with the stack of the code that blocks it while
it lasts, and with its duration when it ends. When the whole process was suspended, the thread did
not run either, so the stall is logged only at its end.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..errors import UsageError

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two samples."""

WINDOW = 5
"""Samples over which rates are averaged."""

CHECKS_PER_STALL = 4
"""How often the thread looks at the loop within `stall_timeout`."""

MAX_FRAMES = 30
"""Innermost frames that are logged of the stack of a stall."""


class Load(NamedTuple):
    """The load of this process, averaged over the last seconds."""

    cpu: float
    """CPU time as a share of one core: 0 to 1, or more when several threads run."""
    loop_lag: float
    """The longest time, in seconds, that the event loop was late."""
    published: float
    """Messages published in rooms, per second."""
    delivered: float
    """Messages delivered to sessions of rooms, per second."""


class Sample(NamedTuple):
    """The state of this process at one moment. CPU time and counts only grow."""

    at: float
    """Seconds on the monotonic clock."""
    lag: float
    """The longest time, in seconds, that the event loop was late since the sample before."""
    cpu: float
    """Seconds of CPU time."""
    published: int
    delivered: int


class LoadMonitor:
    """Takes samples of the running event loop from `start` to `stop`. Can be started again."""

    def __init__(
        self,
        stall_timeout: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Log whatever blocks the event loop for `stall_timeout` seconds; None to log nothing.

        Raises `UsageError` for a time that is not positive.
        """
        if stall_timeout is not None and not stall_timeout > 0:
            raise UsageError(
                f"log_stalls must be a positive number of seconds, not {stall_timeout!r}"
            )
        self.message_counts: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Returns the messages published and delivered so far. Set by the owner of the rooms."""
        self.listeners: list[Callable[[Sample], object]] = []
        """Called in the event loop with each sample but the first. They must not raise."""
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._tick_interval = min(INTERVAL, (stall_timeout or math.inf) / CHECKS_PER_STALL)
        self._samples: deque[Sample] = deque(maxlen=WINDOW + 1)
        self._max_lag = 0.0
        self._due_at = 0.0  # when the next tick is due
        self._sample_at = 0.0  # when the next sample is due
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Take the first sample, and begin to tick. Must be called in the event loop."""
        self._samples.clear()
        self._max_lag = 0.0
        now = self._clock()
        self._take_sample(now)
        self._schedule_tick(now)
        if self._stall_timeout is not None:
            self._stopped.clear()
            self._thread = threading.Thread(
                target=self._watch,
                args=(threading.get_ident(), self._stall_timeout),
                name="chatify-watchdog",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop ticking. Must be called in the event loop; may be called again."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def load(self) -> Load:
        """The load over the last seconds; all zeros before the second sample."""
        if len(self._samples) < 2:
            return Load(0.0, 0.0, 0.0, 0.0)
        first, last = self._samples[0], self._samples[-1]
        seconds = max(last.at - first.at, 0.001)
        return Load(
            cpu=(last.cpu - first.cpu) / seconds,
            loop_lag=max(sample.lag for sample in self._samples),
            published=(last.published - first.published) / seconds,
            delivered=(last.delivered - first.delivered) / seconds,
        )

    @property
    def current_lag(self) -> float:
        """Seconds that the event loop is late now, and 0 when stopped. Any thread may ask."""
        return 0.0 if self._timer is None else max(0.0, self._clock() - self._due_at)

    def _tick(self) -> None:
        now = self._clock()
        lag = max(0.0, now - self._due_at)
        self._max_lag = max(self._max_lag, lag)
        if self._stall_timeout is not None and lag >= self._stall_timeout:
            log.warning("event loop running again after it was blocked for %.1f s", lag)
        self._schedule_tick(now)
        # A timer may fire early by the resolution of the clock.
        if now >= self._sample_at - self._tick_interval / 2:
            sample = self._take_sample(now)
            for listener in self.listeners:
                listener(sample)

    def _take_sample(self, now: float) -> Sample:
        sample = Sample(now, self._max_lag, self._cpu_clock(), *self.message_counts())
        self._samples.append(sample)
        self._max_lag = 0.0
        self._sample_at = now + INTERVAL
        return sample

    def _schedule_tick(self, now: float) -> None:
        self._due_at = now + self._tick_interval
        self._timer = asyncio.get_running_loop().call_later(self._tick_interval, self._tick)

    def _watch(self, loop_thread: int, stall_timeout: float) -> None:
        """Log each stall once, while it lasts. Runs in a thread of its own."""
        logged: float | None = None  # the tick that was due when the last stall was logged
        checked_at = self._clock()
        while not self._stopped.wait(stall_timeout / CHECKS_PER_STALL):
            now, due_at = self._clock(), self._due_at
            # When this thread did not run either, the event loop is not to blame.
            was_suspended = now - checked_at > stall_timeout
            checked_at = now
            if now - due_at >= stall_timeout and not was_suspended and due_at != logged:
                logged = due_at
                _log_stall(now - due_at, loop_thread)


def _log_stall(seconds: float, loop_thread: int) -> None:
    frame = sys._current_frames().get(loop_thread)
    stack = "".join(traceback.format_stack(frame, MAX_FRAMES)).rstrip()
    message = "event loop blocked for %.1f s; its stack:"
    log.handle(
        log.makeRecord(
            log.name, logging.WARNING, __file__, 0, message, (seconds,), None, sinfo=stack
        )
    )

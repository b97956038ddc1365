"""The watchdog: says where the event loop stands still, while it does.

A thread looks whether the loop has ticked. Rules: one line a stall, with the stack of whatever
blocks, and one with its duration at its end. A stall of the whole process, in which the thread did
not run either, has the second line alone.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

from ..errors import UsageError

__all__ = ["Watchdog"]

log = logging.getLogger(__name__)

LOOKS = 4
"""How often it looks within the time that a stall has to last."""

FRAMES = 30
"""Of the stack, the innermost ones."""


class Watchdog:
    """Watches the running event loop, from `start` to `stop`."""

    def __init__(self, patience: float) -> None:
        """`patience`: seconds that the loop may stand still."""
        if not patience > 0:
            raise UsageError(f"a watchdog's patience is a number of seconds, not {patience!r}")
        self._patience = patience
        self._interval = patience / LOOKS
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._told_of = 0.0
        """The tick after which the stall began that was told last."""

    def start(self) -> None:
        """To be called in the event loop, once."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._ticked_at = time.monotonic()
        self._timer = self._loop.call_later(self._interval, self._tick)
        self._thread = threading.Thread(target=self._watch, name="chatify-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """To be called in the event loop. May be called again."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        now = time.monotonic()
        stood = now - self._ticked_at - self._interval
        self._ticked_at = now
        if stood >= self._patience:
            log.warning("the event loop runs again; it stood still for %.1f s", stood)
        self._timer = self._loop.call_later(self._interval, self._tick)

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._stopped.wait(self._interval):
            now = time.monotonic()
            # Where this thread did not run either, the loop cannot be blamed.
            was_away = now - looked_at > self._patience
            looked_at = now
            ticked_at = self._ticked_at
            stood = now - ticked_at - self._interval
            if stood >= self._patience and not was_away and ticked_at != self._told_of:
                self._told_of = ticked_at
                self._tell(stood)

    def _tell(self, stood: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        stack = "".join(traceback.format_stack(frame, FRAMES)).rstrip()
        message = "the event loop has stood still for %.1f s; it is in"
        log.handle(
            log.makeRecord(
                log.name, logging.WARNING, __file__, 0, message, (stood,), None, sinfo=stack
            )
        )

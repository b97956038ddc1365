"""Writes the log from a thread of its own, so that nobody waits for whoever reads it.

Rules: a line waits in a queue that is bounded; past it, lines are dropped, and the log says how
many. What is formatted is formatted at once, where it was logged: its values may change later.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ...wire import Rate
from .rate_limit import LogRate

__all__ = ["BackgroundHandler", "write_to_standard_error"]

MOST_WAITING = 5000
"""Lines."""

INTERVAL = 1.0
"""Seconds between two looks at what was left out."""

TIME_TO_CLOSE = 1.0
"""Seconds that the end of the program waits for lines that are not written yet."""


class BackgroundHandler(logging.Handler):
    """Takes records from any thread without waiting, between `start` and `finish`."""

    def __init__(
        self,
        rate: Rate,
        write: Callable[[str], None],
        *,
        most_waiting: int = MOST_WAITING,
        interval: float = INTERVAL,
    ) -> None:
        """`write` may block; it is called in one thread only."""
        super().__init__()
        self._rate = LogRate(rate)
        self._write = write
        self._interval = interval
        self._waiting: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._dropped = 0
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chatify-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, timeout: float = TIME_TO_CLOSE) -> None:
        """Writes what waits, within `timeout` seconds."""
        self._finishing.set()
        with suppress(queue.Full):  # the thread looks by itself when it has written them
            self._waiting.put_nowait(None)
        self._thread.join(timeout)

    def change_rate(self, rate: Rate) -> None:
        """Has another rate from now on."""
        self.acquire()
        try:
            self._rate.change(rate)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        if self._rate.takes(record, time.monotonic()):
            self._put(record)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._dropped += 1
        except Exception as error:
            if record.args:  # which do not fit its message
                message = "%r cannot be logged: %s"
                self._put(_record(record.name, logging.ERROR, message, record.msg, error))

    def _run(self) -> None:
        look_at = time.monotonic() + self._interval
        while True:
            try:
                line = self._waiting.get(timeout=max(0.0, look_at - time.monotonic()))
            except queue.Empty:
                line = ""
            if line:
                self._write(line)
            if line is None or (self._finishing.is_set() and self._waiting.empty()):
                self._look()
                self._write_rest()
                return
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + self._interval

    def _look(self) -> None:
        """Tells of what was left out and dropped since the last time."""
        self.acquire()
        try:
            for record in self._rate.left_out(time.monotonic()):
                self._put(record)
            dropped, self._dropped = self._dropped, 0
        finally:
            self.release()
        if dropped:
            message = "%d lines were dropped: whoever reads the log is too slow"
            record = _record(__name__, logging.WARNING, message, dropped)
            self._write(self.format(record) + "\n")

    def _write_rest(self) -> None:
        while not self._waiting.empty():
            if line := self._waiting.get_nowait():
                self._write(line)


def _record(name: str, level: int, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 0, message, values, None)


def write_to_standard_error(text: str) -> None:
    """Past Python's buffer, whose lock a blocked thread would hold when the program ends.

    What cannot be written is lost.
    """
    try:
        data = text.encode(sys.stderr.encoding, "backslashreplace")
        while data:
            data = data[os.write(sys.stderr.fileno(), data) :]
    except (AttributeError, OSError, ValueError):
        pass  # standard error is closed, or nobody reads it any more

"""Write the log in a background thread, so that the server never waits for its reader.

Lines wait in a bounded queue. If it is full, lines are dropped, and the log states how many. The
rate of similar records is limited, so that an attack cannot fill the disk.
Records are formatted immediately, in the thread that logs, because their values may change later.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from ...limits import Rate
from ...wire.token_bucket import TokenBucket

MAX_QUEUED = 5000
"""Lines."""

REPORT_INTERVAL = 1.0
"""Seconds between two reports of suppressed and dropped lines."""

CLOSE_TIMEOUT = 1.0
"""Seconds to write the queued lines when the program ends."""

MAX_KINDS = 1000
"""Above it, new records of one logger and level are one kind, whatever their message."""

Kind = tuple[str, int, str]


class LogRate:
    """Decides which records are written, and counts the suppressed ones. No I/O and no clock.

    Records are of the same kind if they have the same logger, level and message template.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[Kind, TokenBucket] = {}
        self._suppressed: dict[Kind, int] = {}

    def allows(self, record: logging.LogRecord, now: float) -> bool:
        """Return whether to write a record logged at `now`, in seconds."""
        kind = record.name, record.levelno, str(record.msg)
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            kind = record.name, record.levelno, ""
        if kind not in self._buckets:
            self._buckets[kind] = TokenBucket(self._rate, now)
        if self._buckets[kind].take(now):
            return True
        self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
        return False

    def summaries(self, now: float) -> Iterator[logging.LogRecord]:
        """Yield a record for each kind with records suppressed since the previous call."""
        suppressed, self._suppressed = self._suppressed, {}
        for (name, level, message), number in suppressed.items():
            yield _record(name, level, "suppressed %d similar records: %s", number, message)
        for kind, bucket in list(self._buckets.items()):
            if bucket.is_full(now):
                del self._buckets[kind]

    def change(self, rate: Rate) -> None:
        """Use another rate for each kind from now on."""
        self._rate = rate
        self._buckets.clear()


class BackgroundHandler(logging.Handler):
    """Accepts records from any thread without waiting, between `start` and `finish`."""

    def __init__(
        self,
        rate: Rate,
        write: Callable[[str], None],
        *,
        max_queued: int = MAX_QUEUED,
        interval: float = REPORT_INTERVAL,
    ) -> None:
        """`write` is called in the background thread, and may block.

        `interval` is the time between two reports of lost lines, in seconds.
        """
        super().__init__()
        self._rate = LogRate(rate)
        self._write = write
        self._interval = interval
        self._queue: queue.Queue[str | None] = queue.Queue(max_queued)
        self._dropped = 0
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chatify-log", daemon=True)

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def finish(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write the queued lines, within `timeout` seconds, and end the thread."""
        self._finishing.set()
        with suppress(queue.Full):  # the thread checks `_finishing` after each line
            self._queue.put_nowait(None)
        self._thread.join(timeout)

    def change_rate(self, rate: Rate) -> None:
        """Use another rate limit from now on."""
        self.acquire()
        try:
            self._rate.change(rate)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, unless the rate limit suppresses it."""
        if self._rate.allows(record, time.monotonic()):
            self._put(record)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            self._queue.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._dropped += 1
        except Exception as error:
            if record.args:  # they do not fit the message
                message = "cannot format the log message %r: %s"
                self._put(_record(record.name, logging.ERROR, message, record.msg, error))

    def _run(self) -> None:
        report_at = time.monotonic() + self._interval
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, report_at - time.monotonic()))
            except queue.Empty:
                line = ""
            if line:
                self._write(line)
            if line is None or (self._finishing.is_set() and self._queue.empty()):
                self._report_losses()
                while not self._queue.empty():
                    if line := self._queue.get_nowait():  # None asks the thread to end
                        self._write(line)
                return
            if time.monotonic() >= report_at:
                self._report_losses()
                report_at = time.monotonic() + self._interval

    def _report_losses(self) -> None:
        """Log how many lines were suppressed and dropped since the previous report."""
        self.acquire()
        try:
            for record in self._rate.summaries(time.monotonic()):
                self._put(record)
            dropped, self._dropped = self._dropped, 0
        finally:
            self.release()
        if dropped:
            message = "dropped %d log lines: the reader of standard error is too slow"
            record = _record(__name__, logging.WARNING, message, dropped)
            self._write(self.format(record) + "\n")


def _record(name: str, level: int, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 0, message, values, None)


def write_to_standard_error(text: str) -> None:
    """Write a text to standard error, or discard it if that fails.

    This bypasses Python's buffer, because a blocked thread would hold its lock at exit.
    """
    try:
        data = text.encode(sys.stderr.encoding, "backslashreplace")
        while data:
            data = data[os.write(sys.stderr.fileno(), data) :]
    except (AttributeError, OSError, ValueError):
        pass  # standard error is closed, or its reader has gone

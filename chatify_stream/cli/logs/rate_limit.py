"""How many lines of one kind the log takes: an attack must not fill the disk.

Records are of one kind when they come from one logger, at one level, with one message before its
values are put in. No I/O and no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ...wire import Rate
from ...wire.token_bucket import TokenBucket

__all__ = ["LogRate"]

MOST_KINDS = 1000
"""From then on what a new message says makes no kind of its own."""

Kind = tuple[str, int, str]


class LogRate:
    """Decides which records are written, and counts the others."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[Kind, TokenBucket] = {}
        self._left_out: dict[Kind, int] = {}

    def takes(self, record: logging.LogRecord, now: float) -> bool:
        """Whether a record is to be written."""
        kind = record.name, record.levelno, str(record.msg)
        if kind not in self._buckets and len(self._buckets) >= MOST_KINDS:
            kind = record.name, record.levelno, ""
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = TokenBucket(self._rate, now)
        if bucket.take(now):
            return True
        self._left_out[kind] = self._left_out.get(kind, 0) + 1
        return False

    def left_out(self, now: float) -> Iterator[logging.LogRecord]:
        """A record for each kind of which some were left out since the last time."""
        left_out, self._left_out = self._left_out, {}
        for (name, level, message), number in left_out.items():
            yield logging.LogRecord(
                name, level, __file__, 0, "and %d more like: %s", (number, message), None
            )
        for kind, bucket in list(self._buckets.items()):
            if bucket.is_full(now):
                del self._buckets[kind]

    def change(self, rate: Rate) -> None:
        """Has another rate for each kind from now on."""
        self._rate = rate
        self._buckets.clear()

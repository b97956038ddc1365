"""Limit the rate of similar log records, so that an attack cannot fill the disk.

Records are of the same kind if they have the same logger, level and message template. No I/O and
no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ...limits import Rate
from ...wire.token_bucket import TokenBucket

MAX_KINDS = 1000
"""Above it, new records of one logger and level are one kind, whatever their message."""

Kind = tuple[str, int, str]


class LogRate:
    """Decides which records are written, and counts the suppressed ones."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[Kind, TokenBucket] = {}
        self._suppressed: dict[Kind, int] = {}

    def allows(self, record: logging.LogRecord, now: float) -> bool:
        """Return whether to write a record logged at `now`, in seconds."""
        kind = record.name, record.levelno, str(record.msg)
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            kind = record.name, record.levelno, ""
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = TokenBucket(self._rate, now)
        if bucket.take(now):
            return True
        self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
        return False

    def summaries(self, now: float) -> Iterator[logging.LogRecord]:
        """Yield a record for each kind with records suppressed since the previous call."""
        suppressed, self._suppressed = self._suppressed, {}
        for (name, level, message), number in suppressed.items():
            yield logging.LogRecord(
                name,
                level,
                __file__,
                0,
                "suppressed %d similar records: %s",
                (number, message),
                None,
            )
        for kind, bucket in list(self._buckets.items()):
            if bucket.is_full(now):
                del self._buckets[kind]

    def change(self, rate: Rate) -> None:
        """Use another rate for each kind from now on."""
        self._rate = rate
        self._buckets.clear()

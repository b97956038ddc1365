"""The writer thread: all waiting requests become one transaction.

A message is acknowledged and delivered once its transaction is in the synced write-ahead log and
recorded in the commit marker. If a transaction fails, none of it has happened, but requests that
need no write are still done. The next transaction starts from the same state.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence

from ...errors import BrokerError
from ...rooms import Retention, RetentionRule
from ..base import Subscriber
from .batch import Batch
from .errors import DamagedError, UnusableError, reason_of
from .maintenance import FULL_SCAN_MS, Maintenance
from .open_file import open_database
from .room_index import RoomIndex
from .worker import Job

__all__ = ["Writer"]

log = logging.getLogger(__name__)

STORAGE_ERRORS = (sqlite3.Error, OSError, DamagedError, UnusableError)


class Writer:
    """A `Workload` on batches."""

    subscriber: Subscriber
    """Set before `begin`."""

    index: RoomIndex
    """Available after `begin`."""

    def __init__(
        self,
        url: str,
        path: str,
        retention: Retention,
        rules: Sequence[RetentionRule],
        now_ms: Callable[[], int],
    ) -> None:
        self._url = url
        self._path = path
        self._retention = retention
        self._rules = rules
        self._subscribed: set[str] = set()
        self._now_ms = now_ms
        self._last_warning = ""

    def begin(self) -> None:
        try:
            self._database, self.index = open_database(self._path, self._retention, self._rules)
        except STORAGE_ERRORS as error:
            raise BrokerError(self._url, reason_of(error)) from error
        self._maintenance = Maintenance(
            self.index, self._database.connection, self._subscribed, self._now_ms()
        )

    def work(self, jobs: Sequence[Job[Batch]]) -> Sequence[Callable[[], object]]:
        batch = self._new_batch()
        try:
            for job in jobs:
                job.result = job.request(batch)
            if batch.writes:
                self._database.commit(self.index, batch.changes)
        except STORAGE_ERRORS as error:
            batch.undo()
            return self._work_without_writing(jobs, error)
        except BaseException:
            batch.undo()
            raise
        if batch.writes:
            self._confirm(jobs)
            self._maintenance.mark_used(batch.changes.rows)
        return batch.notifications

    def rest(self) -> float:
        """Delete some of the expired rows."""
        try:
            changes = self._maintenance.next_step(self._now_ms())
            if changes is not None:
                self._database.commit(self.index, changes)
                self._database.confirm(self.index.state)
                self._last_warning = ""
        except STORAGE_ERRORS as error:
            self._warn_once(reason_of(error))
            self._maintenance.abandon()
            return FULL_SCAN_MS / 1000
        return self._maintenance.pause

    def end(self) -> None:
        self._database.close()

    def _new_batch(self) -> Batch:
        return Batch(self.index, self._subscribed, self.subscriber, self._now_ms())

    def _work_without_writing(
        self, jobs: Sequence[Job[Batch]], error: Exception
    ) -> Sequence[Callable[[], object]]:
        reason = reason_of(error)
        notifications: list[Callable[[], object]] = []
        for job in jobs:
            batch = self._new_batch()
            job.result = job.request(batch)
            if batch.writes:
                batch.undo()
                job.error = BrokerError(self._url, reason)
                job.error.__cause__ = error
            else:
                notifications += batch.notifications
        return notifications

    def _confirm(self, jobs: Sequence[Job[Batch]]) -> None:
        try:
            self._database.confirm(self.index.state)
        except OSError as error:
            for job in jobs:
                job.error = BrokerError(self._url, reason_of(error))

    def _warn_once(self, reason: str) -> None:
        """Log a failure once, until deleting works again."""
        if reason != self._last_warning:
            self._last_warning = reason
            log.warning("%s", BrokerError(self._url, f"cannot delete expired messages: {reason}"))

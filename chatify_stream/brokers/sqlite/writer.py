"""The writer thread: all waiting requests become one transaction.

A message is acknowledged and delivered once its transaction is in the synced write-ahead log and
recorded in the commit marker. If a transaction fails, none of it has happened, but requests that
need no write are still done. The next transaction starts from the same state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...errors import BrokerError
from ...rooms import Retention, RetentionRule
from ..base import Subscriber
from .errors import STORAGE_ERRORS, broker_error, reason_of
from .maintenance import FULL_SCAN_MS, Maintenance
from .open_file import open_database
from .room_index import Batch, RoomIndex
from .worker import Job

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Writer:
    """A `Workload` on batches."""

    url: str
    path: str
    retention: Retention
    rules: Sequence[RetentionRule]
    now_ms: Callable[[], int]
    subscriber: Subscriber = field(init=False)
    """Set before `begin`."""
    index: RoomIndex = field(init=False)
    """Available after `begin`."""
    subscribed: set[str] = field(default_factory=set)
    last_warning: str = ""

    def begin(self) -> None:
        try:
            self._database, self.index = open_database(self.path, self.retention, self.rules)
        except STORAGE_ERRORS as error:
            raise broker_error(self.url, error) from error
        self._maintenance = Maintenance(
            self.index, self._database.connection, self.subscribed, self.now_ms()
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
        try:
            changes = self._maintenance.next_step(self.now_ms())
            if changes is not None:
                self._database.commit(self.index, changes)
                self._database.confirm(self.index.state)
                self.last_warning = ""
        except STORAGE_ERRORS as error:
            self._warn_once(reason_of(error))
            self._maintenance.abandon()
            return FULL_SCAN_MS / 1000
        return self._maintenance.pause

    def end(self) -> None:
        self._database.close()

    def _new_batch(self) -> Batch:
        return Batch(self.index, self.subscribed, self.subscriber, self.now_ms())

    def _work_without_writing(
        self, jobs: Sequence[Job[Batch]], error: Exception
    ) -> Sequence[Callable[[], object]]:
        notifications: list[Callable[[], object]] = []
        for job in jobs:
            batch = self._new_batch()
            job.result = job.request(batch)
            if batch.writes:
                batch.undo()
                job.error = broker_error(self.url, error)
            else:
                notifications += batch.notifications
        return notifications

    def _confirm(self, jobs: Sequence[Job[Batch]]) -> None:
        try:
            self._database.confirm(self.index.state)
        except OSError as error:
            for job in jobs:
                job.error = broker_error(self.url, error)

    def _warn_once(self, reason: str) -> None:
        """Log a failure once, until deleting works again."""
        if reason != self.last_warning:
            self.last_warning = reason
            log.warning("%s", BrokerError(self.url, f"cannot delete expired messages: {reason}"))

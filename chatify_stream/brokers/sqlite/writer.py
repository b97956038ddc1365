"""The thread that writes: what was asked for by now is one transaction.

Rules: a message is acknowledged, and told of, once its transaction is in the synced log of the
database, and its number in the mark. When a transaction fails, nothing of it has happened, and
what was asked for and needs no writing is done all the same. The next one is tried as if nothing
had been.
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
from .maintenance import SELDOM_MS, Upkeep
from .open_file import open_database
from .room_index import Catalog
from .worker import Job

__all__ = ["Writer"]

log = logging.getLogger(__name__)

STORAGE_FAILS = (sqlite3.Error, OSError, DamagedError, UnusableError)


class Writer:
    """A `Workload`, whose subject is a batch."""

    subscriber: Subscriber
    """Set before it begins."""

    catalog: Catalog
    """Once it has begun."""

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
        self._complaint = ""

    def begin(self) -> None:
        try:
            self._database, self.catalog = open_database(self._path, self._retention, self._rules)
        except STORAGE_FAILS as error:
            raise self.refusal(reason_of(error)) from error
        self._upkeep = Upkeep(
            self.catalog, self._database.connection, self._subscribed, self._now_ms()
        )

    def work(self, jobs: Sequence[Job[Batch]]) -> Sequence[Callable[[], object]]:
        batch = self._new_batch()
        try:
            for job in jobs:
                job.result = job.request(batch)
            if batch.writes:
                self._database.commit(self.catalog, batch.changes)
        except STORAGE_FAILS as error:
            batch.undo()
            return self._work_without_writing(jobs, error)
        except BaseException:
            batch.undo()
            raise
        if batch.writes:
            self._confirm(jobs)
            self._upkeep.used(batch.changes.rows)
        return batch.tells

    def rest(self) -> float:
        """Deletes a little of what is not kept any more."""
        try:
            changes = self._upkeep.next_step(self._now_ms())
            if changes is not None:
                self._database.commit(self.catalog, changes)
                self._database.confirm(self.catalog.state)
                self._complaint = ""
        except STORAGE_FAILS as error:
            self._complain(reason_of(error))
            self._upkeep.give_up()
            return SELDOM_MS / 1000
        return self._upkeep.pause

    def end(self) -> None:
        self._database.close()

    def refusal(self, reason: str) -> BrokerError:
        return BrokerError(self._url, reason)

    def _new_batch(self) -> Batch:
        return Batch(self.catalog, self._subscribed, self.subscriber, self._now_ms())

    def _work_without_writing(
        self, jobs: Sequence[Job[Batch]], error: Exception
    ) -> Sequence[Callable[[], object]]:
        reason = reason_of(error)
        tells: list[Callable[[], object]] = []
        for job in jobs:
            batch = self._new_batch()
            job.result = job.request(batch)
            if batch.writes:
                batch.undo()
                job.error = self.refusal(reason)
                job.error.__cause__ = error
            else:
                tells += batch.tells
        return tells

    def _confirm(self, jobs: Sequence[Job[Batch]]) -> None:
        try:
            self._database.confirm(self.catalog.state)
        except OSError as error:
            for job in jobs:
                job.error = self.refusal(reason_of(error))

    def _complain(self, reason: str) -> None:
        """Once, until it works again."""
        if reason != self._complaint:
            self._complaint = reason
            log.warning("%s", self.refusal(f"nothing can be deleted: {reason}"))

"""The thread that reads, beside the one that writes, through a connection of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from ...errors import BrokerError
from .database import connect
from .failures import DamagedError, reason_of
from .worker import Job

__all__ = ["Reader"]


class Reader:
    """A `Workload`, whose subject is the connection."""

    def __init__(self, url: str, path: str) -> None:
        self._url = url
        self._path = path

    def begin(self) -> None:
        try:
            self._connection = connect(self._path)
            self._connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise self.refusal(reason_of(error)) from error

    def work(self, jobs: Sequence[Job[sqlite3.Connection]]) -> Sequence[Callable[[], object]]:
        for job in jobs:
            try:
                job.result = job.request(self._connection)
            except (sqlite3.Error, OSError, DamagedError) as error:
                job.error = self.refusal(reason_of(error))
                job.error.__cause__ = error
        return ()

    def rest(self) -> float:
        return 3600.0

    def end(self) -> None:
        self._connection.close()

    def refusal(self, reason: str) -> BrokerError:
        return BrokerError(self._url, reason)

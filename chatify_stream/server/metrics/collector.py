"""Collect the metrics in the event loop, for callers in any thread.

The state of the server is read only in the event loop. A thread asks the loop for the metrics and
waits at most a second. While the loop is blocked, the thread gets the metrics that were collected
last, and how long the loop has been blocked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from prometheus_client import Metric
from prometheus_client.registry import Collector

from .families import stall_families

__all__ = ["LoopCollector"]

log = logging.getLogger(__name__)

LOOP_TIMEOUT = 1.0
"""Seconds that a thread waits for the event loop."""


class LoopCollector(Collector):
    """A collector of prometheus_client. It is made in the thread of the event loop."""

    def __init__(
        self, gather: Callable[[], list[Metric]], current_lag: Callable[[], float]
    ) -> None:
        """Collect once, now.

        `gather` returns the metrics and is called in the event loop. `current_lag` returns for how
        many seconds the loop has been blocked and is called in any thread.
        """
        self._gather = gather
        self._current_lag = current_lag
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._gathered = gather()

    def collect(self) -> Iterable[Metric]:
        stalled = stall_families(self._current_lag())
        self._ask()
        return [*self._gathered, *stalled]

    def describe(self) -> Iterable[Metric]:
        """Return the metrics; the registry rejects a name that it has already."""
        return self.collect()

    def is_loop_alive(self) -> bool:
        """Return whether the event loop answers in time. Call it from another thread."""
        answered = threading.Event()
        return self._call(answered.set) and answered.wait(LOOP_TIMEOUT)

    def _ask(self) -> None:
        if threading.get_ident() == self._thread:
            self._gathered = self._gather()
            return
        gathered: Future[list[Metric]] = Future()
        if self._call(lambda: _set_result(gathered, self._gather)):
            try:
                self._gathered = gathered.result(LOOP_TIMEOUT)
            except TimeoutError:
                log.warning("event loop blocked: returning the metrics that were collected before")

    def _call(self, function: Callable[[], object]) -> bool:
        """Make the loop call the function; return False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True


def _set_result(future: Future[list[Metric]], gather: Callable[[], list[Metric]]) -> None:
    try:
        future.set_result(gather())
    except BaseException as error:  # it is raised in the thread that waits, not here
        future.set_exception(error)

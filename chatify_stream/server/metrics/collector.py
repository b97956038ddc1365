"""Gathers the metrics for whoever asks, in whatever thread.

Rules: what is alive is looked at in the event loop alone. A thread asks the loop and waits for it,
a second at most; one that is asked while something blocks the loop gets what was there the last
time, and how long the loop has been blocked.
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
from .timings import LoopLag

__all__ = ["LoopCollector"]

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a thread waits for the event loop."""


class LoopCollector(Collector):
    """Made in the thread of the event loop."""

    def __init__(self, gather: Callable[[], list[Metric]], lag: LoopLag) -> None:
        """`gather` is called in the loop."""
        self._gather = gather
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._gathered = gather()

    def collect(self) -> Iterable[Metric]:
        stalled = stall_families(self._lag.stalled)
        self._ask()
        return [*self._gathered, *stalled]

    def describe(self) -> Iterable[Metric]:
        """For the registry, which takes no name twice."""
        return self.collect()

    def is_loop_alive(self) -> bool:
        """Whether the event loop answers. Not asked in it."""
        answered = threading.Event()
        return self._call(answered.set) and answered.wait(PATIENCE)

    def _ask(self) -> None:
        if threading.get_ident() == self._thread:
            self._gathered = self._gather()
            return
        gathered: Future[list[Metric]] = Future()
        if self._call(lambda: _fulfil(gathered, self._gather)):
            try:
                self._gathered = gathered.result(PATIENCE)
            except TimeoutError:
                log.warning("the event loop is blocked: the metrics are those of before")

    def _call(self, function: Callable[[], object]) -> bool:
        """Has the loop call it; False when the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True


def _fulfil(future: Future[list[Metric]], gather: Callable[[], list[Metric]]) -> None:
    try:
        future.set_result(gather())
    except BaseException as error:  # for who waits, and not for the event loop
        future.set_exception(error)

"""A thread that runs the requests of an event loop in order and answers them in batches.

Requests that arrive while the thread is busy form the next batch. Requests made before `stop` are
done; later ones are rejected. No request waits longer than `ANSWER_TIMEOUT`. The thread may still
complete a request that timed out on a slow disk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from ...errors import BrokerError

log = logging.getLogger(__name__)

ANSWER_TIMEOUT = 20.0

PAUSE_AFTER_ERROR = 60.0

MAX_QUEUE = 100_000
"""Number of waiting jobs above which more are rejected."""

Subject = TypeVar("Subject")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Job(Generic[Subject]):
    """A request. The thread sets `result` or `error`."""

    request: Callable[[Subject], Any]
    weight: int
    future: asyncio.Future[Any]
    deadline: float
    result: Any = None
    error: Exception | None = None


class Workload(Protocol[Subject]):
    """The work of the thread, which calls every method."""

    def begin(self) -> None:
        """Prepare. If this raises, no other method is called."""

    def work(self, jobs: Sequence[Job[Subject]]) -> Sequence[Callable[[], object]]:
        """Do the jobs; return the functions that the loop calls before it answers them."""

    def rest(self) -> float:
        """Do idle work; return the seconds until the next call."""

    def end(self) -> None:
        """Clean up. No other method is called after this one."""


class Worker(Generic[Subject]):
    def __init__(self, name: str, url: str, workload: Workload[Subject], max_batch: int) -> None:
        """`max_batch` limits the total weight of a batch, unless one job weighs more."""
        self._name = name
        self._url = url
        self._max_batch = max_batch
        self._workload = workload
        self._queue: SimpleQueue[Job[Subject] | None] = SimpleQueue()
        self._pending: deque[Job[Subject]] = deque()
        """In the order of their answers."""
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._takes_jobs = False
        self._is_stopped = False

    async def start(self) -> None:
        """Start the thread. Raises the exception of `begin`; the thread has then ended."""
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        # The exception is also retrieved if the caller was cancelled.
        self._begun.add_done_callback(lambda begun: begun.exception())
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        await asyncio.shield(self._begun)
        if self._is_stopped:
            raise BrokerError(self._url, "closed while it was being opened")
        self._takes_jobs = True

    async def ask(self, request: Callable[[Subject], Result], weight: int = 1) -> Result:
        """Run `request` in the thread and return its result. Raises the error of the workload."""
        if not self._takes_jobs:
            raise BrokerError(self._url, "not open")
        if len(self._pending) >= MAX_QUEUE:
            raise BrokerError(self._url, f"{MAX_QUEUE} operations are waiting for the disk")
        future: asyncio.Future[Result] = self._loop.create_future()
        job = Job(request, weight, future, self._loop.time() + ANSWER_TIMEOUT)
        self._pending.append(job)
        if self._timer is None:
            self._timer = self._loop.call_at(job.deadline, self._time_out)
        self._queue.put(job)
        return await future

    async def stop(self) -> None:
        """Wait for the requests made so far. May be called again."""
        if self._thread is None:
            return
        self._takes_jobs, self._is_stopped = False, True
        self._queue.put(None)
        await asyncio.wait([self._ended], timeout=ANSWER_TIMEOUT)
        if self._ended.done():
            self._thread.join()
        self._give_up_until(math.inf)
        if self._timer is not None:
            self._timer.cancel()

    def _time_out(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._give_up_until(now)
        later = (job.deadline for job in self._pending if job.deadline > now)
        if (deadline := next(later, None)) is not None:
            self._timer = self._loop.call_at(deadline, self._time_out)

    def _give_up_until(self, deadline: float) -> None:
        for job in self._pending:
            if job.deadline > deadline:
                break
            if not job.future.done():
                reason = f"the disk did not respond within {ANSWER_TIMEOUT:g} seconds"
                job.future.set_exception(BrokerError(self._url, reason))

    def _answer(self, jobs: Sequence[Job[Subject]], calls: Sequence[Callable[[], object]]) -> None:
        try:
            for call in calls:
                call()
        finally:
            for job in jobs:
                self._pending.popleft()
                if job.future.done():
                    continue  # cancelled, or too late
                if job.error is None:
                    job.future.set_result(job.result)
                else:
                    job.future.set_exception(job.error)

    # The methods below run in the thread.

    def _run(self) -> None:
        try:
            self._workload.begin()
        except Exception as error:  # `start` raises it
            self._post(self._begun.set_exception, error)
        else:
            self._post(self._begun.set_result, None)
            self._serve()
            self._workload.end()
        finally:
            self._post(self._ended.set_result, None)

    def _serve(self) -> None:
        pause = 0.0
        while (jobs := self._next_jobs(pause)) is not None:
            if jobs:
                self._post(self._answer, jobs, self._work(jobs))
            pause = self._rest()

    def _work(self, jobs: Sequence[Job[Subject]]) -> Sequence[Callable[[], object]]:
        try:
            return self._workload.work(jobs)
        except Exception as error:  # a bug; the callers must not wait forever
            log.exception("the thread %s failed", self._name)
            for job in jobs:
                job.error = BrokerError(self._url, f"internal error: {error!r}")
            return ()

    def _rest(self) -> float:
        try:
            return self._workload.rest()
        except Exception:  # a bug; go on serving
            log.exception("the thread %s failed", self._name)
            return PAUSE_AFTER_ERROR

    def _next_jobs(self, pause: float) -> list[Job[Subject]] | None:
        """Return the waiting jobs, an empty list after an idle pause, or None at the end."""
        jobs: list[Job[Subject]] = []
        weight = 0
        with suppress(Empty):
            while weight < self._max_batch:
                job = self._queue.get_nowait() if jobs else self._queue.get(timeout=pause)
                if job is None:
                    if not jobs:
                        return None
                    self._queue.put(None)  # read again by the next call
                    break
                jobs.append(job)
                weight += job.weight
        return jobs

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, so no caller is waiting
            self._loop.call_soon_threadsafe(callback, *arguments)

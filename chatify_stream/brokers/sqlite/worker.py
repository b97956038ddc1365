"""A thread that does what an event loop asks for, in that order, and answers in batches.

Rules: what was asked for while it was busy is done together, next. What was asked for before
`stop` is done; what is asked for after it is refused. Nobody waits longer than `ANSWER_SECONDS`;
what a silent disk keeps the thread from doing by then may still be done later.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["ANSWER_SECONDS", "Job", "Worker", "Workload"]

log = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0

PAUSE_AFTER_FAULT = 60.0

LONGEST_QUEUE = 100_000
"""Jobs that may wait; more are refused."""

Subject = TypeVar("Subject")
Result = TypeVar("Result")


class Job(Generic[Subject]):
    """What is asked for. The thread sets `result` or `error`."""

    __slots__ = ("deadline", "error", "future", "request", "result", "weight")

    def __init__(
        self,
        request: Callable[[Subject], Any],
        weight: int,
        future: asyncio.Future[Any],
        deadline: float,
    ) -> None:
        self.request = request
        self.weight = weight
        self.future = future
        self.deadline = deadline
        self.result: Any = None
        self.error: Exception | None = None


class Workload(Protocol[Subject]):
    """What the thread does. All methods but `refusal` are called in it."""

    def begin(self) -> None:
        """Comes first. When it raises, nothing else comes."""

    def work(self, jobs: Sequence[Job[Subject]]) -> Sequence[Callable[[], object]]:
        """Does them; returns what is to be called in the loop before they are answered."""

    def rest(self) -> float:
        """Nothing is asked for. Returns the seconds after which this is called again."""

    def end(self) -> None:
        """Comes last."""

    def refusal(self, reason: str) -> Exception:
        """The error for what is not done."""


class Worker(Generic[Subject]):
    """The thread, as the event loop sees it."""

    def __init__(self, name: str, workload: Workload[Subject], largest_batch: int) -> None:
        """`largest_batch` is what jobs weigh that are done together, unless one weighs more."""
        self._name = name
        self._largest_batch = largest_batch
        self._workload = workload
        self._queue: SimpleQueue[Job[Subject] | None] = SimpleQueue()
        self._pending: deque[Job[Subject]] = deque()
        """In the order in which they are answered."""
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._takes_jobs = False
        self._is_stopped = False

    async def start(self) -> None:
        """Raises what `begin` raises; then there is no thread any more."""
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self._begun.add_done_callback(lambda begun: begun.exception())  # if nobody else asks
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        await asyncio.shield(self._begun)
        if self._is_stopped:
            raise self._workload.refusal("it was closed while it was being opened")
        self._takes_jobs = True

    async def ask(self, request: Callable[[Subject], Result], weight: int = 1) -> Result:
        """What the request returns, in the thread. Raises what the workload makes of its error."""
        if not self._takes_jobs:
            raise self._workload.refusal("it is not open")
        if len(self._pending) >= LONGEST_QUEUE:
            raise self._workload.refusal(f"{LONGEST_QUEUE} operations wait for the disk")
        future: asyncio.Future[Result] = self._loop.create_future()
        job = Job(request, weight, future, self._loop.time() + ANSWER_SECONDS)
        self._pending.append(job)
        if self._timer is None:
            self._timer = self._loop.call_at(job.deadline, self._time_out)
        self._queue.put(job)
        return await future

    async def stop(self) -> None:
        """Waits for what was asked for. May be called again."""
        if self._thread is None:
            return
        self._takes_jobs, self._is_stopped = False, True
        self._queue.put(None)
        await asyncio.wait([self._ended], timeout=ANSWER_SECONDS)
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
                reason = f"the disk has not answered for {ANSWER_SECONDS:g} seconds"
                job.future.set_exception(self._workload.refusal(reason))

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

    # What follows is called in the thread.

    def _run(self) -> None:
        try:
            self._workload.begin()
        except Exception as error:  # which `start` raises
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
        except Exception as error:  # a fault of ours, and nobody is to wait for it in vain
            log.exception("the thread %s has failed", self._name)
            for job in jobs:
                job.error = self._workload.refusal(f"it has failed: {error!r}")
            return ()

    def _rest(self) -> float:
        try:
            return self._workload.rest()
        except Exception:  # a fault of ours, and it goes on all the same
            log.exception("the thread %s has failed", self._name)
            return PAUSE_AFTER_FAULT

    def _next_jobs(self, pause: float) -> list[Job[Subject]] | None:
        """What waits by now; none after a pause in which nothing came; None at the end."""
        jobs: list[Job[Subject]] = []
        weight = 0
        with suppress(Empty):
            while weight < self._largest_batch:
                job = self._queue.get_nowait() if jobs else self._queue.get(timeout=pause)
                if job is None:
                    if not jobs:
                        return None
                    self._queue.put(None)  # for the next time
                    break
                jobs.append(job)
                weight += job.weight
        return jobs

    def _post(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)

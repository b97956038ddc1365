"""Commands to one Redis, in order, over one connection.

Commands that arrive while an answer is awaited are sent together after it. A command that was not
sent waits for a connection until its deadline. A command that was sent when the connection was lost
is sent again only if repeating it is harmless; otherwise it fails with `LostError`. A command waits
no longer than its deadline, or until Redis has been silent for too long. At most `MAX_QUEUE`
commands wait.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import BrokerError
from .connection import Callback, Command, Dial, Reconnecting, RedisConnection
from .errors import TRANSIENT, LostError, code_of, reason_of
from .scripts import Script

MAX_QUEUE = 20_000
"""Number of waiting commands above which more are rejected."""

MAX_BATCH = 256
"""Maximum number of commands in one batch."""

MAX_BATCH_SIZE = 1024 * 1024
"""Maximum characters in one batch, unless a single command has more."""

RETRY_DELAY = 0.1
"""Seconds before a command that failed transiently is tried again."""

IDLE = 0.5
"""Idle seconds after which the connection is checked before use."""


class Ask(NamedTuple):
    """A command for Redis, or a call of a script."""

    slot: int
    """The hash slot of its keys."""
    words: tuple[str | bytes | int | float, ...]
    """The command, or the arguments that follow the run id of Redis."""
    may_repeat: bool = True
    """Whether repeating it is harmless."""
    size: int = 100
    script: Script | None = None
    keys: tuple[str, ...] = ()
    begin: tuple[str | int, ...] = ()
    """The arguments before the run id."""

    def command(self, run: str, with_source: bool) -> Command:
        """Return the words to send; `with_source` sends a script in full."""
        if self.script is None:
            return self.words
        way = ("EVAL", self.script.source) if with_source else ("EVALSHA", self.script.digest)
        return (*way, len(self.keys), *self.keys, *self.begin, run, *self.words)


@dataclass(slots=True, eq=False)
class Job:
    """A command until it is answered."""

    ask: Ask
    future: asyncio.Future[Any]
    with_source: bool = False
    timer: asyncio.TimerHandle | None = None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Pipeline(Reconnecting):
    def __init__(
        self,
        dial: Dial,
        on_problem: Callback,
        url: str,
        retry: Callable[[Job], object],
        silence_ends_at: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Create an idle pipeline.

        `retry` receives jobs that failed transiently and passes them to the pipeline of the current
        master. No job waits beyond `silence_ends_at`, which moves on while Redis responds.
        """
        super().__init__(dial, on_problem)
        self._url = url
        self._retry = retry
        self._silence_ends_at = silence_ends_at
        self._jobs: deque[Job] = deque()
        self._has_jobs = asyncio.Event()

    async def ask(self, ask: Ask, deadline: float) -> Any:
        """Send a command and return the answer.

        `deadline` is a time of the event loop. Raises `BrokerError`, or `LostError` if the command
        may have taken effect.
        """
        if len(self._jobs) >= MAX_QUEUE:
            raise BrokerError(self._url, f"{MAX_QUEUE} commands are waiting for Redis")
        job = Job(ask, asyncio.get_running_loop().create_future())
        self._watch(job, deadline)
        if not job.future.done():
            self.put(job)
        try:
            return await job.future
        finally:
            if job.timer is not None:
                job.timer.cancel()

    def put(self, job: Job) -> None:
        """Queue a job, which may come from another pipeline."""
        self._jobs.append(job)
        self._has_jobs.set()

    def take_back(self) -> list[Job]:
        """Remove and return the jobs that were not sent."""
        jobs = [job for job in self._jobs if not job.future.done()]
        self._jobs.clear()
        return jobs

    async def close(self) -> None:
        await super().close()
        for job in self.take_back():
            job.fail(BrokerError(self._url, "not open"))

    def _watch(self, job: Job, deadline: float) -> None:
        """Fail the job at its deadline, or when Redis has been silent for too long."""
        loop = asyncio.get_running_loop()
        end = min(deadline, self._silence_ends_at())
        if loop.time() < end:
            job.timer = loop.call_at(end, self._watch, job, deadline)
        else:
            job.fail(BrokerError(self._url, self._problem or "no answer in time"))

    async def _use(self, link: RedisConnection) -> None:
        """Send batches until the connection is lost. Raises `LostError`."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await self._has_jobs.wait()
            if loop.time() - last > IDLE and await link.is_stale():
                raise LostError("the connection was closed")
            if jobs := self._next_batch():
                await self._do(link, jobs)
            last = loop.time()

    def _next_batch(self) -> list[Job]:
        batch: list[Job] = []
        size = 0
        while self._jobs and len(batch) < MAX_BATCH and size < MAX_BATCH_SIZE:
            job = self._jobs.popleft()
            if not job.future.done():
                batch.append(job)
                size += job.ask.size
        if not self._jobs:
            self._has_jobs.clear()
        return batch

    async def _do(self, link: RedisConnection, jobs: list[Job]) -> None:
        try:
            replies = await link.ask([job.ask.command(link.run, job.with_source) for job in jobs])
        except BaseException as error:
            for job in jobs:
                if not job.ask.may_repeat:
                    job.fail(error if isinstance(error, LostError) else LostError("closed"))
            self._put_first([job for job in jobs if job.ask.may_repeat])
            raise
        again: list[Job] = []
        lost = ""
        for job, reply in zip(jobs, replies, strict=True):
            if not isinstance(reply, Exception):
                if not job.future.done():
                    job.future.set_result(reply)
            elif (code := code_of(reply)) == "NOSCRIPT" and not job.with_source:
                job.with_source = True
                again.append(job)
            elif code in TRANSIENT:
                self._problem = reason_of(reply)
                lost = self._problem if code == "READONLY" else lost
                self._on_problem()
                asyncio.get_running_loop().call_later(RETRY_DELAY, self._retry, job)
            else:
                job.fail(BrokerError(self._url, reason_of(reply)))
        self._put_first(again)
        if lost:
            raise LostError(lost)

    def _put_first(self, jobs: list[Job]) -> None:
        self._jobs.extendleft(reversed(jobs))
        if jobs:
            self._has_jobs.set()

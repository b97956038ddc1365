"""Commands to one Redis, in order, over one connection.

Commands that arrive while an answer is awaited are sent together after it. A command that was not
sent waits for a connection until its deadline. A command that was sent when the connection was lost
is sent again only if repeating it is harmless; otherwise it fails with `LostError`. A command waits
no longer than its deadline, or until Redis has been silent for too long. At most `MAX_QUEUE`
commands wait.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from ...errors import BrokerError
from .connection import Command, RedisConnection
from .errors import LostError, UnusableError, code_of, is_transient, reason_of
from .scripts import Script

__all__ = ["Call", "Job", "Pipeline", "Plain"]

log = logging.getLogger(__name__)

MAX_QUEUE = 20_000
"""Number of waiting commands above which more are rejected."""

MAX_BATCH = 256
"""Maximum number of commands in one batch."""

MAX_BATCH_SIZE = 1024 * 1024
"""Maximum characters in one batch, unless a single command has more."""

MIN_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds between attempts to connect, at least and at most."""

RETRY_DELAY = 0.1
"""Seconds before a command that failed transiently is tried again."""

IDLE = 0.5
"""Idle seconds after which the connection is checked before use."""


class Ask(Protocol):
    """A command for Redis."""

    @property
    def slot(self) -> int:
        """The hash slot of its keys."""

    @property
    def may_repeat(self) -> bool:
        """Whether repeating the command is harmless."""

    @property
    def size(self) -> int:
        """Approximate number of characters."""

    def command(self, link: RedisConnection, with_source: bool) -> Command:
        """Return the words to send; `with_source` sends a script in full."""


class Call(NamedTuple):
    """A call of a script."""

    script: Script
    slot: int
    keys: tuple[str, ...]
    begin: tuple[str | int, ...]
    """The first arguments, which end before the run id of Redis."""
    arguments: tuple[str | int | float, ...]
    may_repeat: bool = True
    size: int = 100

    def command(self, link: RedisConnection, with_source: bool) -> Command:
        way = ("EVAL", self.script.source) if with_source else ("EVALSHA", self.script.digest)
        run = link.info.run
        return (*way, len(self.keys), *self.keys, *self.begin, run, *self.arguments)


class Plain(NamedTuple):
    """A plain Redis command."""

    slot: int
    words: tuple[str | bytes | int, ...]
    may_repeat: bool = True
    size: int = 100

    def command(self, link: RedisConnection, with_source: bool) -> Command:
        return self.words


class Job:
    """A command until it is answered."""

    __slots__ = ("ask", "future", "timer", "with_source")

    def __init__(self, ask: Ask, future: asyncio.Future[Any]) -> None:
        self.ask = ask
        self.future = future
        self.with_source = False
        self.timer: asyncio.TimerHandle | None = None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Pipeline:
    """Sends commands over one connection, which is replaced when it is lost."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[RedisConnection]],
        rejection: Callable[[str], BrokerError],
        on_problem: Callable[[], object],
        retry: Callable[[Job], object],
        silence_ends_at: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Create an idle pipeline.

        `dial` opens connections. `on_problem` is called when Redis is unavailable or another master
        has the keys. `retry` receives jobs that failed transiently and passes them to the pipeline
        of the current master. No job waits beyond `silence_ends_at`, which moves on while Redis
        responds.
        """
        self._dial = dial
        self._rejection = rejection
        self._on_problem = on_problem
        self._retry_write = retry
        self._silence_ends_at = silence_ends_at
        self._jobs: deque[Job] = deque()
        self._has_jobs = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem = ""
        self.is_connected = False

    def start(self, link: RedisConnection | None = None) -> None:
        """Start to serve, with an open connection if there is one."""
        self._task = asyncio.get_running_loop().create_task(self._serve(link))

    async def ask(self, ask: Ask, deadline: float) -> Any:
        """Send a command and return the answer.

        `deadline` is a time of the event loop. Raises `BrokerError`, or `LostError` if the command
        may have taken effect.
        """
        if len(self._jobs) >= MAX_QUEUE:
            raise self._rejection(f"{MAX_QUEUE} commands are waiting for Redis")
        loop = asyncio.get_running_loop()
        job = Job(ask, loop.create_future())
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

    async def close(self, reason: str = "not open") -> None:
        """Close the connection and fail the waiting jobs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for job in self.take_back():
            job.fail(self._rejection(reason))

    def _watch(self, job: Job, deadline: float) -> None:
        """Fail the job at its deadline, or when Redis has been silent for too long."""
        loop = asyncio.get_running_loop()
        end = min(deadline, self._silence_ends_at())
        if loop.time() < end:
            job.timer = loop.call_at(end, self._watch, job, deadline)
        else:
            job.fail(self._rejection(self._problem or "no answer in time"))

    async def _serve(self, link: RedisConnection | None) -> None:
        try:
            while True:
                link = link or await self._connect()
                self.is_connected, self._problem = True, ""
                try:
                    await self._use(link)
                except LostError as error:
                    self._problem = str(error)
                except Exception:  # a bug; the callers must not wait forever
                    log.exception("Redis command failed")
                finally:
                    self.is_connected = False
                    await link.close()
                link = None
        finally:
            if link is not None:
                await link.close()

    async def _connect(self) -> RedisConnection:
        pause = MIN_PAUSE
        while True:
            try:
                return await self._dial()
            except UnusableError as error:
                self._problem = str(error)
            self._on_problem()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, MAX_PAUSE)

    async def _use(self, link: RedisConnection) -> None:
        """Send batches until the connection is lost. Raises `LostError`."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await self._has_jobs.wait()
            if loop.time() - last > IDLE and await link.is_stale():
                raise LostError("the connection was closed")
            jobs = self._next_batch()
            if jobs:
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
            replies = await link.ask([job.ask.command(link, job.with_source) for job in jobs])
        except BaseException as error:
            for job in reversed(jobs):
                if job.ask.may_repeat:
                    self._jobs.appendleft(job)
                else:
                    job.fail(error if isinstance(error, LostError) else LostError("closed"))
            self._has_jobs.set()
            raise
        again: list[Job] = []
        lost = ""
        for job, reply in zip(jobs, replies, strict=True):
            if not isinstance(reply, Exception):
                if not job.future.done():
                    job.future.set_result(reply)
            elif code_of(reply) == "NOSCRIPT" and not job.with_source:
                job.with_source = True
                again.append(job)
            elif is_transient(reply):
                self._problem = reason_of(reply)
                if code_of(reply) == "READONLY":
                    lost = self._problem
                self._on_problem()
                asyncio.get_running_loop().call_later(RETRY_DELAY, self._retry_write, job)
            else:
                job.fail(self._rejection(reason_of(reply)))
        if again:
            self._jobs.extendleft(reversed(again))
            self._has_jobs.set()
        if lost:
            raise LostError(lost)

"""What is asked of one Redis, one after the other, over one connection.

Rules: what is asked for while an answer is awaited goes out together after it, in its order. What
has not been sent waits for a connection, until its deadline. What was sent when the connection was
lost is sent again only if it may be done twice; otherwise it ends with `LostError`. Nothing waits
longer than until its deadline, or the end of patience where there is one, and no more waits than
`LONGEST_QUEUE`.
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
from .connection import Command, Link
from .errors import LostError, UnusableError, code_of, is_passing, reason_of
from .scripts import Script

__all__ = ["Call", "Job", "Lane", "Plain"]

log = logging.getLogger(__name__)

LONGEST_QUEUE = 20_000
"""Calls that may wait; more are refused."""

LARGEST_BATCH = 256
"""Calls that are sent together."""

LARGEST_BATCH_SIZE = 1024 * 1024
"""Characters of these, unless one has more."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to connect."""

AGAIN = 0.1
"""Seconds before what cannot be done now is asked for again."""

IDLE = 0.5
"""Seconds after which a connection may have been closed without a word."""


class Ask(Protocol):
    """What is asked of Redis."""

    @property
    def slot(self) -> int:
        """Of its keys, in a Cluster."""

    @property
    def may_repeat(self) -> bool:
        """It does no harm to do it twice."""

    @property
    def size(self) -> int:
        """About how many characters it has."""

    def command(self, link: Link, with_source: bool) -> Command: ...


class Call(NamedTuple):
    """A call of a script."""

    script: Script
    slot: int
    keys: tuple[str, ...]
    begin: tuple[str | int, ...]
    """The arguments before the run of Redis."""
    arguments: tuple[str | int | float, ...]
    may_repeat: bool = True
    size: int = 100

    def command(self, link: Link, with_source: bool) -> Command:
        way = ("EVAL", self.script.source) if with_source else ("EVALSHA", self.script.digest)
        run = link.about.run
        return (*way, len(self.keys), *self.keys, *self.begin, run, *self.arguments)


class Plain(NamedTuple):
    """A command of Redis."""

    slot: int
    words: tuple[str | bytes | int, ...]
    may_repeat: bool = True
    size: int = 100

    def command(self, link: Link, with_source: bool) -> Command:
        return self.words


class Job:
    """What is asked for, until it is answered."""

    __slots__ = ("ask", "future", "timer", "with_source")

    def __init__(self, ask: Ask, future: asyncio.Future[Any]) -> None:
        self.ask = ask
        self.future = future
        self.with_source = False
        self.timer: asyncio.TimerHandle | None = None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Lane:
    """One connection, made anew when it is lost."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[Link]],
        refusal: Callable[[str], BrokerError],
        on_trouble: Callable[[], object],
        put_again: Callable[[Job], object],
        patience_ends_at: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`on_trouble` is told when Redis is away, or when another one has the keys. `put_again`
        gets what could not be done, and puts it to the lane that has its keys by then.
        `patience_ends_at` moves on while there is hope; from then on nothing waits."""
        self._dial = dial
        self._refusal = refusal
        self._on_trouble = on_trouble
        self._put_again = put_again
        self._patience_ends_at = patience_ends_at
        self._jobs: deque[Job] = deque()
        self._has_jobs = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self.is_connected = False

    def start(self, link: Link | None = None) -> None:
        """With the first connection, where it is there already."""
        self._task = asyncio.get_running_loop().create_task(self._serve(link))

    async def ask(self, ask: Ask, deadline: float) -> Any:
        """The answer. Raises `BrokerError`, or `LostError` for what may have happened.

        The deadline is a time of the loop.
        """
        if len(self._jobs) >= LONGEST_QUEUE:
            raise self._refusal(f"{LONGEST_QUEUE} calls wait for Redis")
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
        """Has it wait; it may have waited for another one."""
        self._jobs.append(job)
        self._has_jobs.set()

    def take_back(self) -> list[Job]:
        """Those that have not been sent, for whoever has their keys now."""
        jobs = [job for job in self._jobs if not job.future.done()]
        self._jobs.clear()
        return jobs

    async def close(self, reason: str = "it is not open") -> None:
        """Gives up what waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for job in self.take_back():
            job.fail(self._refusal(reason))

    def _watch(self, job: Job, deadline: float) -> None:
        """Gives the job up when it is time."""
        loop = asyncio.get_running_loop()
        end = min(deadline, self._patience_ends_at())
        if loop.time() < end:
            job.timer = loop.call_at(end, self._watch, job, deadline)
        else:
            job.fail(self._refusal(self._trouble or "it does not answer in time"))

    async def _serve(self, link: Link | None) -> None:
        try:
            while True:
                link = link or await self._connect()
                self.is_connected, self._trouble = True, ""
                try:
                    await self._use(link)
                except LostError as error:
                    self._trouble = str(error)
                except Exception:  # a fault of ours, and nobody is to wait for it in vain
                    log.exception("what was asked of Redis has failed")
                finally:
                    self.is_connected = False
                    await link.close()
                link = None
        finally:
            if link is not None:
                await link.close()

    async def _connect(self) -> Link:
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._dial()
            except UnusableError as error:
                self._trouble = str(error)
            self._on_trouble()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _use(self, link: Link) -> None:
        """Raises `LostError`."""
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
        while self._jobs and len(batch) < LARGEST_BATCH and size < LARGEST_BATCH_SIZE:
            job = self._jobs.popleft()
            if not job.future.done():
                batch.append(job)
                size += job.ask.size
        if not self._jobs:
            self._has_jobs.clear()
        return batch

    async def _do(self, link: Link, jobs: list[Job]) -> None:
        try:
            replies = await link.ask([job.ask.command(link, job.with_source) for job in jobs])
        except BaseException as error:
            for job in reversed(jobs):
                if job.ask.may_repeat:
                    self._jobs.appendleft(job)
                else:
                    job.fail(error if isinstance(error, LostError) else LostError("it was closed"))
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
            elif is_passing(reply):
                self._trouble = reason_of(reply)
                if code_of(reply) == "READONLY":
                    lost = self._trouble
                self._on_trouble()
                asyncio.get_running_loop().call_later(AGAIN, self._put_again, job)
            else:
                job.fail(self._refusal(reason_of(reply)))
        if again:
            self._jobs.extendleft(reversed(again))
            self._has_jobs.set()
        if lost:
            raise LostError(lost)

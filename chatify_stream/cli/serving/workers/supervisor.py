"""Several workers that share a port: started, restarted when they die, renewed, and stopped.

Rules: the first worker is started alone, so that what is wrong with the settings is said once. A
worker that dies is replaced, at once or, the more of them die in a row, the later. To renew all,
each gets a successor that listens before it is asked to end, one after the other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click

from ....config import Settings
from ....errors import ChatifyError, UsageError
from ....wire import Backoff, Server
from ..run import listening_lines
from ..signals import serve_until_stopped
from .process import Worker

__all__ = ["Supervisor", "check_workers", "run_workers"]

log = logging.getLogger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=30.0)
"""Between the death of a worker and the start of the next."""

STABLE_SECONDS = 30.0
"""A worker that has run so long has not failed to start."""

UNSHARED = ("memory", "sqlite")
"""Brokers of one process alone."""


def check_workers(settings: Settings) -> None:
    """Raises `UsageError` for settings that several processes cannot serve together."""
    workers = settings.server.workers
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError(
            f"server.workers = {workers}: this system cannot share a port between processes; "
            "it has to be 1 here"
        )
    if settings.metrics.port == 0:
        raise UsageError(
            f"server.workers = {workers}: metrics.port has to be the port of the first worker; "
            "those of the others follow it"
        )
    scheme = settings.rooms.broker.partition(":")[0]
    if settings.rooms.enabled and scheme in UNSHARED:
        raise UsageError(
            f"server.workers = {workers}: the processes cannot share rooms in {scheme}://; "
            "use a broker that they can, such as --broker redis://HOST, or turn rooms off with "
            "--no-rooms"
        )


async def run_workers(settings: Settings, read: Callable[[], Settings]) -> None:
    """Runs them until a signal stops them; `read` gives the settings as they are by then."""
    supervisor, ours = Supervisor(settings, read), settings.server
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, supervisor.renew)

    def also() -> list[str]:
        return listening_lines(settings, supervisor.rooms_port, settings.metrics.port)

    await serve_until_stopped(supervisor, ours.host, ours.port, ours.grace, also)
    log.info("stopped")


class Supervisor:
    """The workers of one server, as `serve_until_stopped` takes a server."""

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        """`load` gives the settings for `renew`. Raises `UsageError` as `check_workers` does."""
        check_workers(settings)
        self._settings = settings
        self._load = load
        self._workers: dict[int, Worker] = {}
        self._running: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing = asyncio.Lock()
        self._is_stopping = False

    @property
    def port(self) -> int:
        """The port that they share."""
        return self._settings.server.port

    @property
    def rooms_port(self) -> int:
        """That of the rooms service, where it has one of its own."""
        return self._settings.rooms.port or self.port

    async def start(self, host: str, port: int) -> None:
        """Starts all workers, where the settings say.

        Raises `ListenError`; and `click.exceptions.Exit`, with the status of the first worker,
        when that does not serve: it has said why.
        """
        self._settings = await _with_ports(self._settings)
        try:
            first = await Worker.start(_of_worker(self._settings, 0))
            if first.status is not None:
                raise click.exceptions.Exit(abs(first.status))
            self._take(0, first)
            count = self._settings.server.workers
            others = [Worker.start(_of_worker(self._settings, i)) for i in range(1, count)]
            for index, worker in enumerate(await asyncio.gather(*others), start=1):
                self._take(index, worker)
        except BaseException:
            await self.close()
            raise
        log.info("%d workers: %s", count, ", ".join(str(w.pid) for w in self._workers.values()))

    async def drain(self, grace: float) -> None:
        """Asks all workers to end, each within `grace` seconds."""
        self._is_stopping = True
        await asyncio.gather(*(worker.stop(grace) for worker in self._running))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Ends all workers at once; while `drain` waits, their calls are ended now."""
        await self.drain(0)

    def renew(self) -> None:
        """Loads the settings anew, and replaces the workers one after the other.

        Where they listen, and how many they are, stays as it is.
        """
        self._spawn(self._renew())

    async def _renew(self) -> None:
        async with self._renewing:
            try:
                settings = self._load()
                check_workers(settings)
            except ChatifyError as error:
                log.error("the workers stay as they are: %s", error)
                return
            settings = _with_places(settings, self._settings)
            for index in range(settings.server.workers):
                if self._is_stopping or not await self._replace(index, settings):
                    return
            log.info("all %d workers are new", len(self._workers))

    async def _replace(self, index: int, settings: Settings) -> bool:
        """Gives a worker a successor; False when that cannot serve, and the worker stays."""
        old = self._workers[index]
        try:
            successor = await Worker.start(_of_worker(settings, index))
        except TimeoutError:
            successor = None
        if successor is None or successor.status is not None:
            log.error("a new worker does not serve: the others stay as they are")
            return False
        self._settings = settings
        self._take(index, successor)
        log.info("worker %d takes over", successor.pid)
        await old.stop(self._settings.server.grace)
        return True

    def _take(self, index: int, worker: Worker) -> None:
        self._workers[index] = worker
        self._running.add(worker)
        self._spawn(self._keep(index, worker))

    async def _keep(self, index: int, worker: Worker) -> None:
        """Replaces a worker that dies, and those after it."""
        wait: float | None = None
        while True:
            began = time.monotonic()
            status = await worker.wait()
            self._running.discard(worker)
            if self._is_stopping or self._workers[index] is not worker:
                return
            if time.monotonic() - began >= STABLE_SECONDS:
                wait = None
            log.error("worker %d ended with status %d; another one is started", worker.pid, status)
            if wait is not None:
                await asyncio.sleep(BACKOFF.with_jitter(wait, random.random()))  # noqa: S311
            wait = BACKOFF.wait(wait)
            try:
                worker = await Worker.start(_of_worker(self._settings, index))
            except TimeoutError:
                continue
            log.info("worker %d takes over", worker.pid)
            self._workers[index] = worker
            self._running.add(worker)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _with_places(settings: Settings, places: Settings) -> Settings:
    """With those of `places` for what cannot change while it runs."""
    server = dataclasses.replace(
        settings.server,
        host=places.server.host,
        port=places.server.port,
        workers=places.server.workers,
    )
    rooms = dataclasses.replace(settings.rooms, host=places.rooms.host, port=places.rooms.port)
    return dataclasses.replace(settings, server=server, rooms=rooms, metrics=places.metrics)


def _of_worker(settings: Settings, index: int) -> Settings:
    """Each has metrics of its own, on ports that follow each other."""
    if settings.metrics.port is None:
        return settings
    metrics = dataclasses.replace(settings.metrics, port=settings.metrics.port + index)
    return dataclasses.replace(settings, metrics=metrics)


async def _with_ports(settings: Settings) -> Settings:
    """With ports that are free, in place of 0. Raises `ListenError` for those that are not."""
    server, rooms = settings.server, settings.rooms
    server = dataclasses.replace(server, port=await _free(server.host, server.port))
    if rooms.enabled and rooms.service and rooms.port is not None:
        rooms = dataclasses.replace(rooms, port=await _free(rooms.host, rooms.port))
    return dataclasses.replace(settings, server=server, rooms=rooms)


async def _free(host: str, port: int) -> int:
    """Or workers would share it with whoever shares it already."""
    server = Server([])
    await server.start(host, port)
    try:
        return server.port
    finally:
        server.close()
        await server.wait_closed()

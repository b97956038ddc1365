"""Supervise several worker processes that share a port: start, restart, replace and stop them.

The first worker is started alone, so that a problem in the settings is reported once. A worker that
dies is restarted, with an increasing delay if workers keep dying. On SIGHUP the workers are
replaced one after the other: each new worker listens before the old one is stopped.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import click

from ....config import Settings
from ....errors import ChatifyError, UsageError
from ....wire import Backoff, Server
from ..run import listening_lines
from ..signals import serve_until_stopped
from .worker import Worker

log = logging.getLogger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=30.0)
"""Delay in seconds before a worker is restarted that died again."""

STABLE_AFTER = 30.0
"""Seconds. The death of a worker that ran longer does not increase the delay."""

UNSHARED = ("memory", "sqlite")
"""Brokers that only one process can use."""


def check_workers(settings: Settings) -> None:
    """Raise `UsageError` for settings that cannot be used with several workers."""
    scheme = settings.rooms.broker.partition(":")[0]
    if not hasattr(socket, "SO_REUSEPORT"):
        problem = "this system cannot share a port between processes; use 1 worker"
    elif settings.metrics.port == 0:
        problem = (
            "metrics.port cannot be 0; set it to the port of the first worker (the other workers "
            "use the following ports)"
        )
    elif settings.rooms.enabled and scheme in UNSHARED:
        problem = (
            f"the processes cannot share rooms in {scheme}://; use a shared broker "
            "(--broker redis://HOST), or turn rooms off (--no-rooms)"
        )
    else:
        return
    raise UsageError(f"server.workers = {settings.server.workers}: {problem}")


async def run_workers(settings: Settings, read: Callable[[], Settings]) -> None:
    """Run the workers until a signal stops them. `read` returns the settings to reload."""
    supervisor, server = Supervisor(settings, read), settings.server
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, supervisor.replace_all)

    def more_lines() -> list[str]:
        return listening_lines(settings, supervisor.rooms_port, settings.metrics.port)

    await serve_until_stopped(supervisor, server.host, server.port, server.grace, more_lines)
    log.info("stopped")


class Supervisor:
    """The workers of one server, as `serve_until_stopped` takes a server."""

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        """`load` returns the settings for `replace_all`. Raises `UsageError` (`check_workers`)."""
        check_workers(settings)
        self._settings = settings
        self._load = load
        self._workers: dict[int, Worker] = {}
        self._running: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._replacing = asyncio.Lock()
        self._is_stopping = False

    @property
    def port(self) -> int:
        """The port that the workers share."""
        return self._settings.server.port

    @property
    def rooms_port(self) -> int:
        """The port of the Rooms service."""
        return self._settings.rooms.port or self.port

    async def start(self, host: str, port: int) -> None:
        """Start all workers, on the addresses of the settings.

        Raises `ListenError`; and `click.exceptions.Exit` with the status of the first worker if it
        failed to start, in which case it has printed the reason.
        """
        self._settings = await _with_ports(self._settings)
        try:
            first = await Worker.start(_worker_settings(self._settings, 0))
            if first.status is not None:
                raise click.exceptions.Exit(abs(first.status))
            self._add(0, first)
            count = self._settings.server.workers
            others = [Worker.start(_worker_settings(self._settings, i)) for i in range(1, count)]
            for index, worker in enumerate(await asyncio.gather(*others), start=1):
                self._add(index, worker)
        except BaseException:
            await self.close()
            raise
        pids = ", ".join(str(worker.pid) for worker in self._workers.values())
        log.info("started %d workers: %s", count, pids)

    async def drain(self, grace: float) -> None:
        """Stop all workers, each within `grace` seconds."""
        self._is_stopping = True
        await asyncio.gather(*(worker.stop(grace) for worker in self._running))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop all workers immediately. Ends a `drain` that is waiting."""
        await self.drain(0)

    def replace_all(self) -> None:
        """Load the settings again, and replace the workers one after the other.

        Their addresses and their number do not change.
        """
        self._spawn(self._replace_all())

    async def _replace_all(self) -> None:
        async with self._replacing:
            try:
                settings = self._load()
                check_workers(settings)
            except ChatifyError as error:
                log.error("workers not replaced: %s", error)
                return
            settings = _with_addresses(settings, self._settings)
            for index in range(settings.server.workers):
                if self._is_stopping or not await self._replace(index, settings):
                    return
            log.info("replaced all %d workers", len(self._workers))

    async def _replace(self, index: int, settings: Settings) -> bool:
        """Replace a worker. Return False, and keep it, if the new worker fails to start."""
        old = self._workers[index]
        try:
            successor = await Worker.start(_worker_settings(settings, index))
        except TimeoutError:
            successor = None
        if successor is None or successor.status is not None:
            log.error("a new worker failed to start: keeping the other workers")
            return False
        self._settings = settings
        self._add(index, successor)
        log.info("worker %d started", successor.pid)
        await old.stop(self._settings.server.grace)
        return True

    def _add(self, index: int, worker: Worker) -> None:
        self._workers[index] = worker
        self._running.add(worker)
        self._spawn(self._keep(index, worker))

    async def _keep(self, index: int, worker: Worker) -> None:
        """Restart a worker whenever it dies."""
        wait: float | None = None
        while True:
            began = time.monotonic()
            status = await worker.wait()
            self._running.discard(worker)
            if self._is_stopping or self._workers[index] is not worker:
                return
            if time.monotonic() - began >= STABLE_AFTER:
                wait = None
            log.error("worker %d ended with status %d; starting another", worker.pid, status)
            if wait is not None:
                await asyncio.sleep(BACKOFF.with_jitter(wait, random.random()))  # noqa: S311
            wait = BACKOFF.wait(wait)
            try:
                worker = await Worker.start(_worker_settings(self._settings, index))
            except TimeoutError:
                continue
            log.info("worker %d started", worker.pid)
            self._workers[index] = worker
            self._running.add(worker)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _with_addresses(settings: Settings, addresses: Settings) -> Settings:
    """Return the settings with the addresses and the number of workers of `addresses`."""
    old = addresses.server
    server = replace(settings.server, host=old.host, port=old.port, workers=old.workers)
    rooms = replace(settings.rooms, host=addresses.rooms.host, port=addresses.rooms.port)
    return replace(settings, server=server, rooms=rooms, metrics=addresses.metrics)


def _worker_settings(settings: Settings, index: int) -> Settings:
    """Return the settings of a worker, whose metrics have their own port."""
    if settings.metrics.port is None:
        return settings
    metrics = replace(settings.metrics, port=settings.metrics.port + index)
    return replace(settings, metrics=metrics)


async def _with_ports(settings: Settings) -> Settings:
    """Replace port 0 by free ports. Raises `ListenError` for a port that is in use."""
    server, rooms = settings.server, settings.rooms
    server = replace(server, port=await _free(server.host, server.port))
    if rooms.enabled and rooms.service and rooms.port is not None:
        rooms = replace(rooms, port=await _free(rooms.host, rooms.port))
    return replace(settings, server=server, rooms=rooms)


async def _free(host: str, port: int) -> int:
    """Return a port that no other server uses; workers could share it unnoticed."""
    server = Server([])
    await server.start(host, port)
    try:
        return server.port
    finally:
        server.close()
        await server.wait_closed()

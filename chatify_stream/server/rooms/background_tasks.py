"""Tasks that outlive the session that started them, such as leaving the broker's presence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from ...errors import BrokerError

__all__ = ["BackgroundTasks", "contain_exit"]

log = logging.getLogger(__name__)

T = TypeVar("T")


async def contain_exit(work: Awaitable[T]) -> T:
    """Await `work` of a broker or a hook in a task, and return its result.

    Raises `RuntimeError` instead of SystemExit and KeyboardInterrupt: asyncio stops the event loop
    when a task raises these.
    """
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"a task raised {error!r}") from error


class BackgroundTasks:
    """Runs tasks, logs their errors, and waits for them at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task. Its errors are logged."""
        task = asyncio.get_running_loop().create_task(contain_exit(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def finish(self, timeout: float) -> None:
        """Wait `timeout` seconds for the tasks, then cancel those that still run.

        Waits for cancelled tasks for at most another `timeout`.
        """
        if not self._tasks:
            return
        _, late = await asyncio.wait(list(self._tasks), timeout=timeout)
        if late:
            log.warning("closing the rooms: cancelling the cleanup of %d sessions", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=timeout)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, BrokerError):
                log.warning("%s", error)
            else:
                log.error("the cleanup of a session failed", exc_info=error)

"""A queue of tasks that wait for a condition to change."""

from __future__ import annotations

import asyncio
from bisect import insort
from contextlib import suppress
from itertools import count


class WaitQueue:
    """Wakes waiting tasks in the order of their tickets.

    Waking does not promise that the condition holds. A woken task checks it, and waits again with
    the same ticket if necessary, so it keeps its place.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._tickets = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def new_ticket(self) -> int:
        """Return a place after all tickets issued before."""
        return next(self._tickets)

    async def wait(self, ticket: int, timeout: float | None = None) -> None:
        """Wait to be woken, or for `timeout` seconds.

        If a task is cancelled after it was woken, the next task in the queue is woken instead.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        insort(self._waiting, (ticket, woken))
        timer = None if timeout is None else loop.call_later(timeout, _wake, woken)
        try:
            await woken
        except asyncio.CancelledError:
            if not woken.cancelled():
                self.wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            with suppress(ValueError):  # already removed by wake
                self._waiting.remove((ticket, woken))

    def wake(self, count: int = 1) -> None:
        """Wake the first `count` tasks."""
        while self._waiting and count > 0:
            count -= _wake(self._waiting.pop(0)[1])

    def wake_all(self) -> None:
        self.wake(len(self._waiting))


def _wake(woken: asyncio.Future[None]) -> bool:
    """Wake a task. Return False if it was cancelled or its timeout is over."""
    if woken.done():
        return False
    woken.set_result(None)
    return True

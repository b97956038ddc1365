"""A queue of tasks that wait for a condition to change."""

from __future__ import annotations

import asyncio
from bisect import insort
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

__all__ = ["WaitQueue"]


@dataclass(order=True)
class _Entry:
    ticket: int
    woken: asyncio.Future[None] = field(compare=False)


class WaitQueue:
    """Wakes waiting tasks in the order of their tickets.

    Waking does not promise that the condition holds. A woken task checks it, and waits again with
    the same ticket if necessary, so it keeps its place.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._tickets = count()

    def __len__(self) -> int:
        return len(self._entries)

    def new_ticket(self) -> int:
        """Return a place after all tickets issued before."""
        return next(self._tickets)

    async def wait(self, ticket: int, timeout: float | None = None) -> None:
        """Wait to be woken, or for `timeout` seconds.

        If a task is cancelled after it was woken, the next task in the queue is woken instead.
        """
        loop = asyncio.get_running_loop()
        entry = _Entry(ticket, loop.create_future())
        insort(self._entries, entry)
        timer = None if timeout is None else loop.call_later(timeout, self._time_out, entry)
        try:
            await entry.woken
        except asyncio.CancelledError:
            if entry.woken.cancelled():
                self._remove(entry)
            else:
                self.wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def wake(self, count: int = 1) -> None:
        """Wake the first `count` tasks."""
        while self._entries and count > 0:
            entry = self._entries.pop(0)
            if not entry.woken.done():  # done if its task has just been cancelled
                entry.woken.set_result(None)
                count -= 1

    def wake_all(self) -> None:
        self.wake(len(self._entries))

    def _time_out(self, entry: _Entry) -> None:
        self._remove(entry)
        if not entry.woken.done():
            entry.woken.set_result(None)

    def _remove(self, entry: _Entry) -> None:
        with suppress(ValueError):  # already removed by wake
            self._entries.remove(entry)

"""Deliver the error that ends a call to the tasks that wait inside the call.

grpclib 0.4.9 cancelled the tasks and turned the cancellation into the error, but left it counted:
an `asyncio.timeout` or a TaskGroup around a failed call let a CancelledError out. It also cancelled
a handler twice, and a handler inside its own TaskGroup or `asyncio.timeout` lost one of them.

Rules: a task is cancelled at most once, and the cancellation is taken back when the task leaves the
scope. A task that something else has cancelled too stays cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from grpclib.metadata import Deadline


@dataclass(eq=False, repr=False, slots=True)
class CallScope:
    """A context manager for the tasks of one call.

    Several tasks may be inside at once. `cancel` makes each of them, and each later one, raise the
    error that ended the call.
    """

    _error: Exception | None = None
    _waiting: dict[asyncio.Task[object], int] = field(default_factory=dict)
    """The tasks inside, each with its number of cancellations before it entered."""
    _cancelled_tasks: list[asyncio.Task[object]] | None = None  # most calls need none
    _timer: asyncio.TimerHandle | None = None

    @property
    def cancelled(self) -> bool:
        return self._error is not None

    @property
    def is_entered(self) -> bool:
        return bool(self._waiting)

    def __enter__(self) -> None:
        if self._error is not None:
            raise self._error
        task = _this_task()
        self._waiting[task] = task.cancelling()

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        task = _this_task()
        earlier = self._waiting.pop(task)
        if self._cancelled_tasks and task in self._cancelled_tasks:
            self._cancelled_tasks.remove(task)
            if task.uncancel() > earlier and exc_type is asyncio.CancelledError:
                return
        if self._error is not None:
            raise self._error

    def cancel(self, error: Exception) -> None:
        """End the call: raise `error` in every task that is inside or enters later."""
        self._error = error
        cancelled = self._cancelled_tasks = self._cancelled_tasks or []
        for task in self._waiting.keys() - {asyncio.current_task(), *cancelled}:
            cancelled.append(task)
            task.cancel()

    def start(self, deadline: Deadline) -> None:
        """Cancel the scope with `TimeoutError` at the deadline. Raise it if that has passed."""
        timeout = deadline.time_remaining()
        if not timeout:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(timeout, self.cancel, TimeoutError())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @contextmanager
    def until(self, deadline: Deadline) -> Iterator[None]:
        """Enter the scope with a deadline. Raise `TimeoutError` if the deadline has passed."""
        self.start(deadline)
        try:
            with self:
                yield
        finally:
            self.stop()

    def release(self) -> None:
        """Drop references that would keep the frames of the call's tasks alive."""
        clear_traceback(self._error)


def clear_traceback(error: BaseException | None) -> None:
    """Clear the traceback and context of a stored error.

    The traceback refers to frames, and the frames to the owner of the error: only the garbage
    collector could free that cycle.
    """
    if error is not None:
        error.__traceback__ = error.__context__ = None


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call has to be made in a task")
    return task

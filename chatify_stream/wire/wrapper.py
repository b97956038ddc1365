"""What a call's tasks wait in, so that the error that ends the call ends their waiting.

grpclib 0.4.9 cancels them and turns the cancellation into the error, but leaves it counted: an
`asyncio.timeout` or a TaskGroup around a call that had failed let a CancelledError out. And a
handler was cancelled twice, so that one in its TaskGroup or `asyncio.timeout` was lost.

Rules: a task is cancelled once, and that is taken back when it leaves the wrapper; a task that
someone else has cancelled too stays cancelled.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from .grpclib_internals import DeadlineWrapper

__all__ = ["CallWrapper"]


class CallWrapper(DeadlineWrapper):
    """grpclib's, with or without a deadline: that has effect once `start` is entered."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[asyncio.Task[object], int] = {}
        """The tasks that are in it, and how often each had been cancelled before it came."""
        self._cancelled: set[asyncio.Task[object]] = set()

    @property
    def is_entered(self) -> bool:
        """Somebody waits in it."""
        return bool(self._waiting)

    def __enter__(self) -> None:
        if self._error is not None:
            raise self._error
        task = _this_task()
        self._waiting[task] = task.cancelling()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        task = _this_task()
        earlier = self._waiting.pop(task)
        if task in self._cancelled:
            self._cancelled.remove(task)
            if task.uncancel() > earlier and exc_type is asyncio.CancelledError:
                return
        if self._error is not None:
            raise self._error

    def cancel(self, error: Exception) -> None:
        """From now on, whoever waits in it, or enters it, gets `error`."""
        self._error = error
        self.cancelled = True
        for task in self._waiting.keys() - self._cancelled - {asyncio.current_task()}:
            self._cancelled.add(task)
            task.cancel()


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call has to be made in a task")
    return task

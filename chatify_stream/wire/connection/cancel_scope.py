"""What a call's tasks wait in, so that the error that ends the call ends their waiting.

grpclib 0.4.9 cancels them and turns the cancellation into the error, but leaves it counted: an
`asyncio.timeout` or a TaskGroup around a call that had failed let a CancelledError out. And a
handler was cancelled twice, so that one in its TaskGroup or `asyncio.timeout` was lost.

Rules: a task is cancelled once, and that is taken back when it leaves the wrapper; a task that
someone else has cancelled too stays cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from grpclib.metadata import Deadline

from ..grpclib_internals import DeadlineWrapper

__all__ = ["CallScope", "clear_traceback"]


class CallScope(DeadlineWrapper):
    """grpclib's, with or without a deadline: that has effect once `start` is entered."""

    def __init__(self) -> None:  # without that of grpclib: nothing of it is used
        self._waiting: dict[asyncio.Task[object], int] = {}
        """The tasks that are in it, and how often each had been cancelled before it came."""
        self._cancelled: list[asyncio.Task[object]] | None = None  # most calls are never

    def release(self) -> None:
        """The call is over."""
        clear_traceback(self._error)

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
        if self._cancelled and task in self._cancelled:
            self._cancelled.remove(task)
            if task.uncancel() > earlier and exc_type is asyncio.CancelledError:
                return
        if self._error is not None:
            raise self._error

    def cancel(self, error: Exception) -> None:
        """From now on, whoever waits in it, or enters it, gets `error`."""
        self._error = error
        self.cancelled = True
        cancelled = self._cancelled = self._cancelled or []
        for task in self._waiting.keys() - {asyncio.current_task(), *cancelled}:
            cancelled.append(task)
            task.cancel()

    @contextmanager
    def until(self, deadline: Deadline) -> Iterator[None]:
        """Enters it, with a deadline. Raises `TimeoutError` for one that has passed."""
        with self.start(deadline), self:
            yield


def clear_traceback(error: BaseException | None) -> None:
    """Has an error that is kept forget where it was raised: the frames there have who keeps it.

    Otherwise both, and what they have, wait for the garbage collector.
    """
    if error is not None:
        error.__traceback__ = error.__context__ = None


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call has to be made in a task")
    return task

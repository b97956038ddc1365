"""The error that ends a call, and the tasks that wait inside the call."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.wire import Deadline
from chatify_stream.wire.connection.cancel_scope import CallScope


class Ended(Exception):
    """What ended the call."""


async def wait_in(scope: CallScope) -> int:
    """Waits until it is woken; says how often its task is cancelled after that."""
    with pytest.raises(Ended):
        with scope:
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def waiting(scope: CallScope) -> asyncio.Task[int]:
    task = asyncio.create_task(wait_in(scope))
    await asyncio.sleep(0)
    return task


async def test_all_who_wait_get_the_error() -> None:
    """Every task that waits gets the error, and so does one that comes later."""
    scope = CallScope()
    tasks = [await waiting(scope) for _ in range(2)]
    scope.cancel(Ended())
    assert await asyncio.gather(*tasks, wait_in(scope)) == [0, 0, 0]
    assert scope.cancelled


async def test_ended_twice() -> None:
    """A call that ends twice before its task has run wakes it once, with the last error."""
    scope = CallScope()
    task = await waiting(scope)
    scope.cancel(KeyError())
    scope.cancel(Ended())
    assert await task == 0


async def test_who_ends_it() -> None:
    """The task that ends the call goes on to the scope's end, and has the error there."""
    scope = CallScope()
    with pytest.raises(Ended):
        with scope:
            scope.cancel(Ended())
            await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_task_that_is_cancelled_too(is_first: bool) -> None:
    """A task that is cancelled in the moment in which the call ends stays cancelled."""
    scope = CallScope()
    task = await waiting(scope)
    if is_first:
        task.cancel()
    scope.cancel(Ended())
    if not is_first:
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_task_that_was_cancelled_before() -> None:
    """What a cancelled task does to clean up is woken like anything else."""
    scope = CallScope()
    started = asyncio.Event()

    async def clean_up() -> int:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            return await wait_in(scope)  # noqa: B012 - what this test is about

    task = asyncio.create_task(clean_up())
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    scope.cancel(Ended())
    assert await task == 1


async def test_an_error_of_the_task_itself() -> None:
    """The call's error counts, not what its end makes the task raise; that is its context."""
    scope = CallScope()

    async def wait() -> None:
        with scope:
            try:
                await asyncio.Event().wait()
            finally:
                raise KeyError

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    scope.cancel(Ended())
    with pytest.raises(Ended) as caught:
        await task
    assert type(caught.value.__context__) is KeyError


async def test_deadline() -> None:
    """A deadline ends the call with TimeoutError."""
    scope = CallScope()
    with pytest.raises(TimeoutError):
        with scope.until(Deadline.from_timeout(0.01)):
            await asyncio.Event().wait()


def test_without_a_task() -> None:
    """It can be used in a task alone."""
    with pytest.raises(RuntimeError, match="in a task"):
        asyncio.run(_outside())


async def _outside() -> None:
    loop = asyncio.get_running_loop()
    outcome = loop.create_future()

    def enter() -> None:
        try:
            with CallScope():
                outcome.set_result(None)
        except RuntimeError as error:
            outcome.set_exception(error)

    loop.call_soon(enter)
    await outcome

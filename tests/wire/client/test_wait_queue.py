"""Tests of the wait queue in wire/client/pool.py."""

from __future__ import annotations

import asyncio

from chatify_stream.wire.client.pool import WaitQueue


class Tasks:
    """Waiting tasks by name, and the order in which they were woken."""

    def __init__(self) -> None:
        self.queue = WaitQueue()
        self.woken: list[str] = []

    async def join(
        self, name: str, ticket: int | None = None, timeout: float | None = None
    ) -> asyncio.Task[None]:
        if ticket is None:
            ticket = self.queue.new_ticket()

        async def wait() -> None:
            await self.queue.wait(ticket, timeout)
            self.woken.append(name)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return task


async def test_in_their_order() -> None:
    """Tasks are woken in order, as many as requested."""
    tasks = Tasks()
    all_tasks = [await tasks.join(name) for name in "abcd"]
    tasks.queue.wake(2)
    await asyncio.wait(all_tasks[:2])
    assert tasks.woken == ["a", "b"]
    assert len(tasks.queue) == 2
    tasks.queue.wake_all()
    await asyncio.wait(all_tasks)
    assert tasks.woken == ["a", "b", "c", "d"]
    assert not tasks.queue


async def test_waking_none() -> None:
    """Waking more tasks than are waiting, or zero, has no effect."""
    tasks = Tasks()
    tasks.queue.wake(3)
    task = await tasks.join("a")
    tasks.queue.wake(0)
    await asyncio.sleep(0)
    assert not task.done()
    tasks.queue.wake(3)
    await task


async def test_keeping_a_place() -> None:
    """A task that waits again with its ticket keeps its place."""
    tasks = Tasks()
    first, second, third = (tasks.queue.new_ticket() for _ in range(3))
    all_tasks = [await tasks.join("b", second), await tasks.join("c", third)]
    all_tasks.append(await tasks.join("a", first))
    tasks.queue.wake_all()
    await asyncio.wait(all_tasks)
    assert tasks.woken == ["a", "b", "c"]


async def test_cancelled() -> None:
    """A cancelled task leaves the queue."""
    tasks = Tasks()
    first, second = await tasks.join("a"), await tasks.join("b")
    first.cancel()
    await asyncio.wait([first])
    tasks.queue.wake()
    await second
    assert tasks.woken == ["b"]


async def test_cancelled_after_it_was_woken() -> None:
    """A task that is cancelled after it was woken wakes the next one."""
    tasks = Tasks()
    first, second = await tasks.join("a"), await tasks.join("b")
    tasks.queue.wake()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    await second
    assert tasks.woken == ["b"]


async def test_woken_after_it_was_cancelled() -> None:
    """A cancelled task that is still in the queue does not use up a wake."""
    tasks = Tasks()
    first, second = await tasks.join("a"), await tasks.join("b")
    first.cancel()
    tasks.queue.wake()
    await second
    assert (first.cancelled(), tasks.woken) == (True, ["b"])


async def test_woken_when_its_time_is_over() -> None:
    """A task that is woken at the moment of its timeout is woken once."""
    tasks = Tasks()
    task, other = await tasks.join("a", timeout=0), await tasks.join("b")
    tasks.queue.wake()
    await task
    assert len(tasks.queue) == 1
    tasks.queue.wake()
    await other


async def test_timeout() -> None:
    """A task continues after its timeout and leaves the queue."""
    tasks = Tasks()
    patient = await tasks.join("patient", timeout=3600)
    await (await tasks.join("a", timeout=0))
    assert tasks.woken == ["a"]
    assert len(tasks.queue) == 1
    tasks.queue.wake()
    await patient

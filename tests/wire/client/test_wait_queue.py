"""Tests of wire/waiters.py."""

from __future__ import annotations

import asyncio

from chatify_stream.wire.client.wait_queue import WaitQueue


class Line:
    """Tasks that wait, by name, and in which order they were woken."""

    def __init__(self) -> None:
        self.waiters = WaitQueue()
        self.woken: list[str] = []

    async def join(
        self, name: str, number: int | None = None, timeout: float | None = None
    ) -> asyncio.Task[None]:
        if number is None:
            number = self.waiters.new_ticket()

        async def wait() -> None:
            await self.waiters.wait(number, timeout)
            self.woken.append(name)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return task


async def test_in_their_order() -> None:
    """Who came first is woken first, as many as are called."""
    line = Line()
    tasks = [await line.join(name) for name in "abcd"]
    line.waiters.wake(2)
    await asyncio.wait(tasks[:2])
    assert line.woken == ["a", "b"]
    assert len(line.waiters) == 2
    line.waiters.wake_all()
    await asyncio.wait(tasks)
    assert line.woken == ["a", "b", "c", "d"]
    assert not line.waiters


async def test_waking_nobody() -> None:
    """Waking more than there are, or none, is nothing."""
    line = Line()
    line.waiters.wake(3)
    task = await line.join("a")
    line.waiters.wake(0)
    await asyncio.sleep(0)
    assert not task.done()
    line.waiters.wake(3)
    await task


async def test_back_in_line() -> None:
    """Who was woken and has to wait again comes back to its place."""
    line = Line()
    first, second, third = (line.waiters.new_ticket() for _ in range(3))
    tasks = [await line.join("b", second), await line.join("c", third)]
    tasks.append(await line.join("a", first))
    line.waiters.wake_all()
    await asyncio.wait(tasks)
    assert line.woken == ["a", "b", "c"]


async def test_cancelled() -> None:
    """Who is cancelled leaves the line."""
    line = Line()
    first, second = await line.join("a"), await line.join("b")
    first.cancel()
    await asyncio.wait([first])
    line.waiters.wake()
    await second
    assert line.woken == ["b"]


async def test_cancelled_after_it_was_woken() -> None:
    """Who is cancelled before it can use its turn passes it on."""
    line = Line()
    first, second = await line.join("a"), await line.join("b")
    line.waiters.wake()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    await second
    assert line.woken == ["b"]


async def test_woken_after_it_was_cancelled() -> None:
    """Who was cancelled is not woken in another's place, also when it has not left yet."""
    line = Line()
    first, second = await line.join("a"), await line.join("b")
    first.cancel()
    line.waiters.wake()
    await second
    assert (first.cancelled(), line.woken) == (True, ["b"])


async def test_woken_when_its_time_is_over() -> None:
    """Who is woken just when its time is over is woken once."""
    line = Line()
    task, other = await line.join("a", timeout=0), await line.join("b")
    line.waiters.wake()
    await task
    assert len(line.waiters) == 1
    line.waiters.wake()
    await other


async def test_timeout() -> None:
    """Who has waited long enough goes on by itself, and leaves the line."""
    line = Line()
    patient = await line.join("patient", timeout=3600)
    await (await line.join("a", timeout=0))
    assert line.woken == ["a"]
    assert len(line.waiters) == 1
    line.waiters.wake()
    await patient

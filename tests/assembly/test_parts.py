"""Tests of assembly/parts.py."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.assembly.parts import Part, Parts

Steps = list[str]


@pytest.fixture
def steps() -> Steps:
    return []


def part(name: str, steps: Steps, *, fails_to: str = "") -> Part:
    """A part that records its steps; `fails_to` start or close."""

    async def start() -> None:
        steps.append(f"start {name}")
        if fails_to == "start":
            raise OSError(f"{name} does not start")

    def close() -> None:
        steps.append(f"close {name}")
        if fails_to == "close":
            raise OSError(f"{name} does not close")

    return Part(start, close)


async def test_order(steps: Steps) -> None:
    """Parts start in order and close in reverse order, once."""
    parts = Parts()
    await parts.start([part(name, steps) for name in "abc"])
    assert steps == ["start a", "start b", "start c"]
    steps.clear()
    await parts.close()
    await parts.close()
    assert steps == ["close c", "close b", "close a"]


async def test_failing_start(steps: Steps) -> None:
    """If a part fails to start, the parts before it are closed; the parts can start again."""
    parts = Parts()
    with pytest.raises(OSError, match="c does not start"):
        await parts.start([part("a", steps), part("b", steps), part("c", steps, fails_to="start")])
    assert steps == ["start a", "start b", "start c", "close b", "close a"]
    steps.clear()
    await parts.close()
    assert steps == []
    await parts.start([part("a", steps)])
    await parts.close()
    assert steps == ["start a", "close a"]


async def test_cancelled_start(steps: Steps) -> None:
    """If the start is cancelled, the parts that have started are closed."""
    parts = Parts()
    never = Part(asyncio.Event().wait, lambda: steps.append("close never"))  # type: ignore[arg-type]
    starting = asyncio.create_task(parts.start([part("a", steps), never]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert steps == ["start a", "close a"]


async def test_failing_close(steps: Steps, caplog: pytest.LogCaptureFixture) -> None:
    """If parts fail to close, the others are closed; the errors are logged, the last raised."""
    parts = Parts()
    await parts.start(
        [
            part("a", steps),
            part("b", steps, fails_to="close"),
            part("c", steps),
            part("d", steps, fails_to="close"),
        ]
    )
    steps.clear()
    with pytest.raises(OSError, match="b does not close"):
        await parts.close()
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in errors] == ["d does not close", "b does not close"]
    assert steps == ["close d", "close c", "close b", "close a"]


async def test_cancelled_close(steps: Steps) -> None:
    """If the close is cancelled, the remaining parts are closed."""
    parts = Parts()
    never = Part(lambda: None, asyncio.Event().wait)  # type: ignore[arg-type]
    await parts.start([part("a", steps), never, part("b", steps)])
    closing = asyncio.create_task(parts.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert steps == ["start a", "start b", "close b", "close a"]


async def test_close_twice_at_once(steps: Steps) -> None:
    """A second close waits until the first has closed everything."""
    gate = asyncio.Event()

    async def close_slowly() -> None:
        await gate.wait()
        steps.append("close slow")

    parts = Parts()
    await parts.start([Part(lambda: None, close_slowly)])
    closing = [asyncio.create_task(parts.close()) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in closing)
    gate.set()
    await asyncio.gather(*closing)
    assert steps == ["close slow"]

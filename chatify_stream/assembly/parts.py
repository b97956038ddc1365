"""Start the parts of a server in order, and close them in reverse order."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import NamedTuple

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None] | None]
"""A function without arguments. If it returns an awaitable, that is awaited."""


class Part(NamedTuple):
    """The functions that start and close a part of a server. A part that has started is closed."""

    start: Step
    close: Step


class Parts:
    """The parts that are running."""

    def __init__(self) -> None:
        self._running = AsyncExitStack()
        self._closing = asyncio.Lock()

    async def start(self, parts: Iterable[Part]) -> None:
        """Start the parts in order.

        If a part raises, or this call is cancelled, the parts before it are closed and the
        exception is raised.
        """
        async with AsyncExitStack() as starting:
            for part in parts:
                await _run(part.start)
                starting.push_async_callback(_close, part)
            self._running = starting.pop_all()

    async def close(self) -> None:
        """Close the running parts in reverse order.

        All parts are closed, also when some of them raise. Each exception is logged, and the last
        is raised. While another call closes the parts, this one waits for it.
        Cancelling the call cancels the part that is being closed; the other parts are closed.
        """
        async with self._closing:
            await self._running.aclose()


async def _close(part: Part) -> None:
    try:
        await _run(part.close)
    except Exception:  # another part may raise as well, and only the last exception is raised
        log.exception("closing a part of the server failed")
        raise


async def _run(step: Step) -> None:
    result = step()
    if inspect.isawaitable(result):
        await result

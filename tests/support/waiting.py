"""Waiting for conditions.

The timeout only ends a test that would hang: it is far longer than any of the conditions takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["TIMEOUT", "until", "wait_until"]

TIMEOUT = 20.0
"""Seconds."""


async def until(
    condition: Callable[[], object], what: str = "the condition", *, interval: float = 0.0
) -> None:
    """Let other tasks run until `condition()` is true. Raise AssertionError after `TIMEOUT`.

    `interval`: seconds between two checks; 0 checks once in each iteration of the event loop.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                await asyncio.sleep(interval)
    except TimeoutError:
        raise AssertionError(f"not true after {TIMEOUT} s: {what}") from None


def wait_until(
    condition: Callable[[], object],
    what: Callable[[], str] = lambda: "the condition",
    *,
    timeout: float = TIMEOUT,
) -> None:
    """Wait until another process makes `condition()` true. Raise AssertionError with `what()`."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not true after {timeout} s: {what()}")
        time.sleep(0.02)

"""Work of a broker or a hook in a task of its own: nothing that it raises stops the event loop."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["contained"]

T = TypeVar("T")


async def contained(work: Awaitable[T]) -> T:
    """Awaits the work. Raises `RuntimeError` where it raises what asyncio stops the loop for."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{error!r} was raised in a task") from error

"""SIGTERM, which asks to leave the room as the user would."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["on_termination"]


@contextmanager
def on_termination(leave: Callable[[], None]) -> Iterator[None]:
    """Calls `leave`, in the loop that runs, for each SIGTERM; where there is none, never."""
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # the event loops of Windows
        loop.add_signal_handler(signal.SIGTERM, leave)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)

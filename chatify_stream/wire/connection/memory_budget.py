"""Bound the memory of one connection's calls that no flow-control window bounds.

A message may be larger than its window, so the window is returned while the message arrives. A
reply that cannot be sent yet occupies memory although the window of its request was returned. A
thousand calls could hold gigabytes of either, so both have a limit for each connection.

Rules: a call whose incomplete message exceeds the first limit ends with RESOURCE_EXHAUSTED. While
unsent replies exceed the second limit, no call receives another message, and an incomplete message
keeps its window. The calls continue one by one, so that each sees the memory that the one before it
has taken.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from grpclib.const import Status

from ...errors import StatusError


@dataclass(eq=False, repr=False, slots=True)
class MemoryBudget:
    """The budget of one connection; unlimited by default."""

    max_uncredited_bytes: float = math.inf
    """Bytes of received messages whose window was returned."""
    max_unsent: float = math.inf
    """Bytes that wait to be sent. One call may exceed it with one message."""
    uncredited_bytes: int = 0
    is_full: bool = False
    """Too many bytes wait to be sent: no message may be taken now."""
    _unsent: int = 0
    _waiters: deque[asyncio.Future[None]] | None = None  # most connections need none
    _stalled: set[Callable[[], None]] | None = None

    def refusal(self) -> StatusError:
        return StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the calls of this connection hold more than {self.max_uncredited_bytes} bytes of "
            "messages that are incomplete or not read; send fewer of them at a time",
        )

    def add_unsent(self, size: int) -> None:
        """Count `size` bytes that wait to be sent. `remove_unsent` takes them back."""
        self._unsent += size
        self.is_full = self._unsent > self.max_unsent

    def remove_unsent(self, size: int) -> None:
        self._unsent -= size
        self.is_full = self._unsent > self.max_unsent
        self._wake()

    async def room(self) -> None:
        """Wait until a message may be taken. Take it before the next await."""
        while self.is_full:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = self._waiters or deque()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                # Another call may continue once this one has queued its reply or was cancelled.
                asyncio.get_running_loop().call_soon(self._wake)

    def stall(self, settle: Callable[[], None]) -> None:
        """Call `settle`, which returns a held window, as soon as the budget has room."""
        self._stalled = self._stalled or set()
        self._stalled.add(settle)

    def unstall(self, settle: Callable[[], None]) -> None:
        if self._stalled is not None:
            self._stalled.discard(settle)

    def _wake(self) -> None:
        if self._stalled and not self.is_full:
            stalled, self._stalled = self._stalled, None
            for settle in stalled:
                settle()
        if self._waiters and not self.is_full and not any(each.done() for each in self._waiters):
            self._waiters[0].set_result(None)

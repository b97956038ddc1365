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

from grpclib.const import Status

from ...errors import StatusError

__all__ = ["MemoryBudget"]


class MemoryBudget:
    """The budget of one connection; unlimited by default."""

    __slots__ = (
        "_max_unsent",
        "_stalled",
        "_unsent",
        "_waiters",
        "is_full",
        "max_uncredited_bytes",
        "uncredited_bytes",
    )

    def __init__(
        self, max_uncredited_bytes: float = math.inf, max_unsent: float = math.inf
    ) -> None:
        """`max_uncredited_bytes`: received bytes whose window was returned.

        `max_unsent`: bytes that wait to be sent. One call may exceed it with one message.
        """
        self.max_uncredited_bytes = max_uncredited_bytes
        self.uncredited_bytes = 0
        self._max_unsent = max_unsent
        self._unsent = 0
        self.is_full = False
        """Too many bytes wait to be sent: no message may be taken now."""
        self._waiters: deque[asyncio.Future[None]] | None = None  # most connections need none
        self._stalled: set[Callable[[], None]] | None = None

    def refusal(self) -> StatusError:
        """Return the error for a call that exceeds `max_uncredited_bytes`."""
        return StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the calls of this connection hold more than {self.max_uncredited_bytes} bytes of "
            "messages that are incomplete or not read; send fewer of them at a time",
        )

    def add_unsent(self, size: int) -> None:
        """Count `size` bytes that wait to be sent. `remove_unsent` takes them back."""
        self._unsent += size
        self.is_full = self._unsent > self._max_unsent

    def remove_unsent(self, size: int) -> None:
        self._unsent -= size
        self.is_full = self._unsent > self._max_unsent
        self._wake()

    async def room(self) -> None:
        """Wait until a message may be taken. Take it before the next await."""
        while self.is_full:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = deque()
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
        if self._stalled is None:
            self._stalled = set()
        self._stalled.add(settle)

    def unstall(self, settle: Callable[[], None]) -> None:
        """Take `stall` back."""
        if self._stalled is not None:
            self._stalled.discard(settle)

    def _wake(self) -> None:
        if self._stalled and not self.is_full:
            stalled, self._stalled = self._stalled, None
            for settle in stalled:
                settle()
        if self._waiters and not self.is_full and not any(each.done() for each in self._waiters):
            self._waiters[0].set_result(None)

"""What the calls of one connection hold that no flow-control window bounds.

A message may be larger than its window, so the window is given back while it comes; and a reply
that may not leave is there although the window of its request was given back. A thousand calls
might have gigabytes of either, so both are bounded, for all calls of the connection together.

Rules: a call whose message makes too much of the former ends RESOURCE_EXHAUSTED. While there is too
much of the latter, no call is given another message, and what comes of one that is not whole holds
its window. Then they go on one by one, so that the next sees what the one before it has come to
hold.
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
    """Of one connection; unless it is told how much, without bounds."""

    __slots__ = (
        "_max_unsent",
        "_stalled",
        "_unsent",
        "_waiters",
        "max_uncredited_bytes",
        "uncredited_bytes",
    )

    def __init__(
        self, max_uncredited_bytes: float = math.inf, max_unsent: float = math.inf
    ) -> None:
        """Bytes that have come and whose window was given back, and bytes that wait to be sent.

        One call may add its own to those that may wait at the most.
        """
        self.max_uncredited_bytes = max_uncredited_bytes
        self.uncredited_bytes = 0
        self._max_unsent = max_unsent
        self._unsent = 0
        self._waiters: deque[asyncio.Future[None]] | None = None  # most connections need none
        self._stalled: set[Callable[[], None]] | None = None

    @property
    def is_full(self) -> bool:
        """Too much waits to be sent: no message is to be taken now."""
        return self._unsent > self._max_unsent

    def refusal(self) -> StatusError:
        """What a call ends with that makes it too much."""
        return StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the calls of this connection have sent more than {self.max_uncredited_bytes} bytes "
            "of messages that are not whole, or not taken: send fewer of them at a time",
        )

    def waits_to_send(self, size: int) -> None:
        """So many bytes more; `does_not_wait` is to be told the same when they are gone."""
        self._unsent += size

    def does_not_wait(self, size: int) -> None:
        self._unsent -= size
        self._wake()

    async def room(self) -> None:
        """Waits until a message may be taken, which is to be done before anything else runs."""
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
                # Others may go on, once this one has come to hold something, or was cancelled.
                asyncio.get_running_loop().call_soon(self._wake)

    def stall(self, settle: Callable[[], None]) -> None:
        """Calls it when it is no longer full, to give back a window that is kept until then."""
        if self._stalled is None:
            self._stalled = set()
        self._stalled.add(settle)

    def unstall(self, settle: Callable[[], None]) -> None:
        """Does not call it."""
        if self._stalled is not None:
            self._stalled.discard(settle)

    def _wake(self) -> None:
        if self._stalled and not self.is_full:
            stalled, self._stalled = self._stalled, None
            for settle in stalled:
                settle()
        if self._waiters and not self.is_full and not any(each.done() for each in self._waiters):
            self._waiters[0].set_result(None)

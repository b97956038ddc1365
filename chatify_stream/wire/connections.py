"""The open connections of a server or a channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from .outbound import LAST_WORDS
from .protocol import WireProtocol

__all__ = ["LAST_WORDS", "Connections"]

log = logging.getLogger(__name__)

LOG_INTERVAL = 1.0
"""Seconds between two lines about connections that are refused."""


class Connections:
    """Those that are open now; iterating goes over them as they were when it began."""

    def __init__(
        self,
        most: int | None = None,
        most_per_address: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` connections at a time, and so many from one IP address; None: any number."""
        self._most = most
        self._most_per_address = most_per_address
        self._clock = clock
        self._open: dict[WireProtocol, str | None] = {}  # with the address of each
        self._by_address: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._refused_since_log = 0
        self._logged_at = -LOG_INTERVAL
        self.opened = 0
        """How many there were, those that are open included."""
        self.refused = 0
        """How many there was no room for."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[WireProtocol]:
        return iter(list(self._open))

    def add(self, connection: WireProtocol, address: str | None = None) -> bool:
        """Takes a connection, from an IP address; False when there is no room for it."""
        if self._most is not None and len(self._open) >= self._most:
            self._refuse(f"{self._most} are open")
            return False
        if self._most_per_address is not None and address is not None:
            if self._by_address[address] >= self._most_per_address:
                self._refuse(f"{self._most_per_address} from {address} are open")
                return False
            self._by_address[address] += 1
        self._open[connection] = address
        self.opened += 1
        return True

    def discard(self, connection: WireProtocol) -> None:
        address = self._open.pop(connection, None)
        if address is not None and address in self._by_address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        self._changed.set()

    async def all_closed(self, timeout: float, *, unless: asyncio.Event | None = None) -> None:
        """Waits until none is open: `timeout` seconds at the most, or until `unless` is set.

        Who sets `unless` calls `wake` then.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._open and not (unless is not None and unless.is_set()):
                    self._changed.clear()
                    await self._changed.wait()

    def wake(self) -> None:
        """Has those who wait look again."""
        self._changed.set()

    def abort(self) -> None:
        """Cuts off all that are open."""
        for connection in self:
            connection.abort()

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self._refused_since_log += 1
        now = self._clock()
        if now >= self._logged_at + LOG_INTERVAL:
            log.warning("refused %d connections: %s", self._refused_since_log, why)
            self._logged_at = now
            self._refused_since_log = 0

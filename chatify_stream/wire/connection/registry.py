"""The open connections of a server or a channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from ...address import address_block
from ..limits import Rate
from ..token_bucket import TokenBuckets
from .fair_share import FairShare
from .protocol import WireProtocol
from .write_buffer import LAST_WORDS

__all__ = ["LAST_WORDS", "Connection", "Connections"]

log = logging.getLogger(__name__)

LOG_INTERVAL = 1.0
"""Seconds between two lines about connections that are refused."""


class Connection(Protocol):
    """One that is open: a `WireProtocol`, or what comes before it."""

    def abort(self) -> None: ...


class Connections:
    """Those that are open now; iterating goes over them as they were when it began.

    It leaves out those on which HTTP/2 has not begun: these are `handshaking`.
    """

    def __init__(
        self,
        most: int | None = None,
        most_per_address: int | None = None,
        rate_per_address: Rate | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` connections at a time, and so many from one IP address; None: any number.

        Addresses of IPv6 count as one where their first 64 bits agree.
        """
        self.set_limits(most, most_per_address, rate_per_address)
        self._clock = clock
        self.fair_share = FairShare()
        self._open: dict[Connection, str | None] = {}  # with the block of addresses of each
        self._by_address: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._refused_since_log = 0
        self._logged_at = -LOG_INTERVAL
        self.opened = 0
        """How many there were, those that are open included."""
        self.refused_by: Counter[str] = Counter()
        """How many there was no room for, by the name of the limit."""

    def set_limits(
        self, most: int | None, most_per_address: int | None, rate_per_address: Rate | None
    ) -> None:
        """As at the beginning; those that are open stay, however many they are."""
        self._most = most
        self._most_per_address = most_per_address
        self._buckets = None if rate_per_address is None else TokenBuckets(rate_per_address)
        self._rate_per_address = rate_per_address

    @property
    def refused(self) -> int:
        """How many there was no room for."""
        return self.refused_by.total()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[WireProtocol]:
        return iter([each for each in self._open if isinstance(each, WireProtocol)])

    @property
    def handshaking(self) -> list[Connection]:
        """Those on which HTTP/2 has not begun."""
        return [each for each in self._open if not isinstance(each, WireProtocol)]

    def add(self, connection: Connection, address: str | None = None) -> bool:
        """Takes a connection, from an IP address; False when there is no room for it."""
        if self._most is not None and len(self._open) >= self._most:
            self._refuse("max_connections", f"{self._most} are open")
            return False
        self._open[connection] = None
        if not self.set_address(connection, address):
            del self._open[connection]
            return False
        self.fair_share.counts(len(self._open))
        self.opened += 1
        return True

    def set_address(self, connection: Connection, address: str | None) -> bool:
        """Learns the address of one that had none; False when there is no room for it."""
        if address is not None:
            block, most = address_block(address), self._most_per_address
            if self._buckets is not None and not self._buckets.take(block, self._clock()):
                rate = self._rate_per_address
                self._refuse("connection_rate_per_address", f"{block} has made {rate}")
                return False
            if most is not None and self._by_address[block] >= most:
                self._refuse("max_connections_per_address", f"{most} from {block} are open")
                return False
            self._by_address[block] += 1
            self._open[connection] = block
        return True

    def replace(self, old: Connection, new: Connection) -> None:
        """`new` takes the place of `old`, with its address."""
        self._open[new] = self._open.pop(old)

    def discard(self, connection: Connection) -> None:
        block = self._open.pop(connection, None)
        self.fair_share.counts(len(self._open))
        if block is not None:
            self._by_address[block] -= 1
            if not self._by_address[block]:
                del self._by_address[block]
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
        for connection in list(self._open):
            connection.abort()

    def _refuse(self, limit: str, why: str) -> None:
        self.refused_by[limit] += 1
        self._refused_since_log += 1
        now = self._clock()
        if now >= self._logged_at + LOG_INTERVAL:
            log.warning("refused %d connections: %s", self._refused_since_log, why)
            self._logged_at = now
            self._refused_since_log = 0

"""The open connections of a server or a channel, and the limits on their number."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, Protocol

from ...address import address_block
from ...limits import Limits
from ..token_bucket import TokenBuckets
from .fair_share import FairShare
from .protocol import WireProtocol

log = logging.getLogger(__name__)

UNLIMITED = Limits(max_connections=None)

LOG_INTERVAL = 1.0
"""Seconds between two log lines about rejected connections."""


class Connection(Protocol):
    """An open connection: a `WireProtocol` or a `ConnectionHandshake`."""

    def abort(self) -> None: ...


class Connections:
    """Iterates over a snapshot of the connections with HTTP/2; `handshaking` has the others."""

    def __init__(
        self, limits: Limits = UNLIMITED, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.set_limits(limits)
        self._clock = clock
        self.fair_share = FairShare()
        self._open: dict[Connection, str | None] = {}  # with the address block of each
        self._by_address: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._refused_since_log = 0
        self._logged_at = -LOG_INTERVAL
        self.opened = 0
        self.refused_by: Counter[str] = Counter()
        """Number of rejected connections by the name of the limit."""

    def set_limits(self, limits: Limits) -> None:
        """Replace the limits. Open connections stay open."""
        self._limits = limits
        rate = limits.connection_rate_per_address
        self._buckets = None if rate is None else TokenBuckets(rate)

    @property
    def refused(self) -> int:
        return self.refused_by.total()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[WireProtocol]:
        return iter([each for each in self._open if isinstance(each, WireProtocol)])

    @property
    def handshaking(self) -> list[Connection]:
        return [each for each in self._open if not isinstance(each, WireProtocol)]

    def add(self, connection: Connection, address: str | None = None) -> bool:
        """Add a connection from an IP address. Return False if a limit is reached."""
        maximum = self._limits.max_connections
        if maximum is not None and len(self._open) >= maximum:
            return self._refuse("max_connections", f"{maximum} are open")
        self._open[connection] = None
        if not self.set_address(connection, address):
            del self._open[connection]
            return False
        self.fair_share.counts(len(self._open))
        self.opened += 1
        return True

    def set_address(self, connection: Connection, address: str | None) -> bool:
        """Set the address of a connection without one. Return False if a limit is reached."""
        if address is not None:
            block, maximum = address_block(address), self._limits.max_connections_per_address
            if self._buckets is not None and not self._buckets.take(block, self._clock()):
                why = f"{block} is over its rate of {self._limits.connection_rate_per_address}"
                return self._refuse("connection_rate_per_address", why)
            if maximum is not None and self._by_address[block] >= maximum:
                why = f"{maximum} from {block} are open"
                return self._refuse("max_connections_per_address", why)
            self._by_address[block] += 1
            self._open[connection] = block
        return True

    def replace(self, old: Connection, new: Connection) -> None:
        """Replace `old` with `new`, which has the same address."""
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
        """Wait until no connection is open, `unless` is set, or `timeout` seconds have passed.

        After setting `unless`, call `wake`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._open and not (unless is not None and unless.is_set()):
                    self._changed.clear()
                    await self._changed.wait()

    def wake(self) -> None:
        """Make `all_closed` check again."""
        self._changed.set()

    def abort(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def _refuse(self, limit: str, why: str) -> Literal[False]:
        self.refused_by[limit] += 1
        self._refused_since_log += 1
        now = self._clock()
        if now >= self._logged_at + LOG_INTERVAL:
            log.warning("rejected %d connections: %s", self._refused_since_log, why)
            self._logged_at = now
            self._refused_since_log = 0
        return False

"""The open connections of a server or a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from .protocol import WireProtocol

__all__ = ["LAST_WORDS", "Connections"]

LAST_WORDS = 0.5
"""Seconds that what is left to send may take when connections are closed by force."""


class Connections:
    """Those that are open now; iterating goes over them as they were when it began."""

    def __init__(self) -> None:
        self._open: set[WireProtocol] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[WireProtocol]:
        return iter(list(self._open))

    def add(self, connection: WireProtocol) -> None:
        self._open.add(connection)

    def discard(self, connection: WireProtocol) -> None:
        self._open.discard(connection)
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

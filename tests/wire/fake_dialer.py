"""A fake dialer whose attempts end when the test says so. No network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatify_stream.wire.client.dialer import DialError
from chatify_stream.wire.client.resolver import Endpoint
from chatify_stream.wire.client.state import Failure
from chatify_stream.wire.connection.registry import Connections

__all__ = ["REFUSED", "SILENT", "FakeConnection", "FakeDialer", "settled"]

REFUSED = Failure("Connection refused", retry_at_once=True)
SILENT = Failure("no answer within 10 s")


async def settled() -> None:
    """Let the event loop run everything that needs no time or network."""
    for _ in range(20):
        await asyncio.sleep(0)


class FakeConnection:
    def __init__(self, endpoint: Endpoint, on_lost: Callable[[FakeConnection], None]) -> None:
        self.endpoint = endpoint
        self.is_usable = True
        self.is_unused = False
        self.free_streams = 1000
        self.is_closing = False
        self._on_lost = on_lost

    def __str__(self) -> str:
        return str(self.endpoint)

    def lose(self) -> None:
        self.is_usable = False
        self._on_lost(self)

    def close_when_idle(self) -> None:
        self.is_closing = True
        self.is_usable = False
        self._on_lost(self)


class FakeDialer:
    timeout = 10.0

    def __init__(self) -> None:
        self.dialed: list[str] = []
        """The addresses of all attempts so far."""
        self._attempts: dict[str, asyncio.Future[None]] = {}
        self.connections: dict[str, FakeConnection] = {}
        """The last connection to each address."""
        self.on_capacity: Callable[[], None] | None = None

    async def dial(
        self,
        endpoint: Endpoint,
        *,
        connections: Connections,
        on_capacity: Callable[[], None],
        on_lost: Callable[[FakeConnection], None],
    ) -> FakeConnection:
        address = str(endpoint)
        self.dialed.append(address)
        self.on_capacity = on_capacity
        self._attempts[address] = asyncio.get_running_loop().create_future()
        try:
            await self._attempts[address]
        finally:
            del self._attempts[address]
        connection = self.connections[address] = FakeConnection(endpoint, on_lost)
        return connection

    @property
    def under_way(self) -> set[str]:
        return set(self._attempts)

    async def fail(self, address: str, failure: Failure) -> None:
        """Fail the running attempt."""
        self._attempts[address].set_exception(DialError(failure))
        await settled()

    async def succeed(self, address: str) -> FakeConnection:
        self._attempts[address].set_result(None)
        await settled()
        return self.connections[address]

"""A TCP relay on loopback whose connections break."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["Budget", "Relay", "cutting", "relaying"]

Budget = Callable[[], int]
"""Returns the bytes, in both directions, after which a new connection breaks."""


class Relay:
    """Forwards to a port from its own address, on Linux any that begins with 127."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port = port
        self._source = source
        self._chance = random.Random(0)
        self.budget: Budget | None = None
        self.cuts = 0
        """Number of broken connections."""
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()

    @property
    def target(self) -> str:
        assert self._listener is not None
        return f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def cut(self) -> None:
        """Break all connections, like the death of one side."""
        self.cuts += 1
        for transport in list(self._transports):
            transport.abort()

    def freeze(self) -> None:
        """Stop forwarding on the open connections, without closing them."""
        for transport in self._transports:
            transport.pause_reading()  # type: ignore[attr-defined]

    def pause(self) -> None:
        """Hold new connections."""
        self._is_open.clear()

    def resume(self) -> None:
        """Forward new connections again."""
        self._is_open.set()

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ours = {writer.transport}
        try:
            await self._is_open.wait()
            peer_reader, peer_writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._source, 0)
            )
            ours.add(peer_writer.transport)
            self._transports |= ours
            left = [2**62 if self.budget is None else self.budget()]
            ways = [(reader, peer_writer), (peer_reader, writer)]
            forwarding = [asyncio.create_task(self._forward(*way, left)) for way in ways]
            try:
                await asyncio.wait(forwarding, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in forwarding:
                    each.cancel()
                await asyncio.wait(forwarding)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._transports -= ours
            for transport in ours:
                transport.abort()
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]
    ) -> None:
        try:
            while left[0] > 0 and (data := await reader.read(65536)):
                writer.write(data[: left[0]])
                left[0] -= len(data)
                await writer.drain()
            if left[0] <= 0:
                self.cuts += 1
                await _turns(self._chance.randrange(40))
        except OSError:
            pass


async def _turns(number: int) -> None:
    """Yield to both sides or not, like real networks."""
    for _ in range(number):
        await asyncio.sleep(0)


@asynccontextmanager
async def relaying(port: int, source: str = "127.0.0.1") -> AsyncIterator[Relay]:
    relay = Relay(port, source)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.close()


def cutting(chance: random.Random, least: int, most: int) -> Budget:
    """Return a random budget for each connection."""
    return lambda: chance.randrange(least, most)

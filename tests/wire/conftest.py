from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatify_stream.wire import Channel, Server

from .clock import Clock
from .lookups import Lookups
from .raw import RawClient, raw_client
from .services import Echo


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    """Replace the DNS lookups of the event loop. Without answers they find nothing."""
    lookups = Lookups()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookups)
    return lookups


@pytest.fixture
async def service() -> Echo:
    return Echo()


@pytest.fixture
async def server(service: Echo) -> AsyncIterator[Server]:
    server = Server([service])
    await server.start("127.0.0.1", 0)
    yield server
    server.close()
    await server.wait_closed()


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[Channel]:
    async with Channel("127.0.0.1", server.port) as channel:
        yield channel


@pytest.fixture
async def client(server: Server) -> AsyncIterator[RawClient]:
    async with raw_client(server.port) as client:
        yield client

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatify_stream import ChatServer

from ..footprint import descriptors
from ..support.waiting import until


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        yield server


@pytest.fixture
def target(server: ChatServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.fixture
async def leaves_nothing() -> AsyncIterator[None]:
    """Check that the test, and later fixtures, leave no task and no descriptor."""
    files = descriptors()
    yield
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, "no task is left")
    await until(lambda: descriptors() == files, "no descriptor is left")

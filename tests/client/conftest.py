from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chatify_stream import ChatServer


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        yield server


@pytest.fixture
def target(server: ChatServer) -> str:
    return f"127.0.0.1:{server.port}"

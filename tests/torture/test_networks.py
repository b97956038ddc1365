"""What is cut lets nothing through, and passes on what waited once it is mended."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from .networks import Relays


async def test_relays() -> None:
    """A relay that is cut keeps its connections and passes on nothing, in both directions."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    network = Relays()
    async with await asyncio.start_server(echo, "127.0.0.1", network.redis_port):
        await network.open(2)
        try:
            port = urlsplit(network.redis_url(1)).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"one")
            assert await reader.readexactly(3) == b"one"
            await network.cut(1)
            writer.write(b"two")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reader.read(100)
            await network.mend(1)
            assert await reader.readexactly(3) == b"two"
            writer.close()
        finally:
            await network.close()

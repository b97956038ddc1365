"""A server with limits and a well-behaved client, beside which tests attack the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hpack import Encoder

from chatify_stream.wire import Limits, Server

from ..support.frames import (
    END_HEADERS,
    HEADERS,
    SETTINGS,
    WINDOW_UPDATE,
)
from .raw import (
    RawClient,
    frame,
    framed,
    raw_client,
    request_headers,
)
from .services import Answer, Ask, Echo

__all__ = ["ADA", "ANSWER", "WIDE", "Scene", "headers", "said", "scene"]

ADA = framed(bytes(Ask(service="Ada")))
ANSWER = framed(bytes(Answer(name="Ada")))
WIDE = frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + (2**30).to_bytes(4, "big")) + frame(
    WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")
)
"""Windows that never run out."""


@dataclass
class Scene:
    """A server and a well-behaved client of it."""

    server: Server
    service: Echo
    bystander: RawClient

    async def talk(self) -> None:
        """Make a call of the bystander and check the answer."""
        before = self.bystander.data_of(1)
        self.bystander.h2.send_data(1, ADA)
        self.bystander.flush()
        async with asyncio.timeout(10):
            while self.bystander.data_of(1) == before:
                await self.bystander._read()

    async def only_the_bystander_is_left(self) -> None:
        async with asyncio.timeout(10):
            while self.server.connections > 1 or self.server.open_calls > 1:
                await asyncio.sleep(0.01)
        assert self.server.open_calls == 1


@asynccontextmanager
async def scene(limits: Limits) -> AsyncIterator[Scene]:
    service = Echo()
    server = Server([service], limits=limits)
    await server.start("127.0.0.1", 0)
    try:
        async with raw_client(server.port) as bystander:
            bystander.h2.send_headers(1, request_headers())
            bystander.flush()
            here = Scene(server, service, bystander)
            await here.talk()
            yield here
            await here.talk()
            await here.only_the_bystander_is_left()
    finally:
        server.close()
        await server.wait_closed()


def headers(
    stream_id: int, flags: int = END_HEADERS, path: str = "/test.Echo/Echo", **changes: str | None
) -> bytes:
    """Return a header block that does not depend on earlier blocks."""
    fields = [(name, value, True) for name, value in request_headers(path, **changes)]
    return frame(HEADERS, flags, stream_id, Encoder().encode(fields))


def said(goaway: bytes) -> tuple[int, str]:
    """Return the error code and text of a GOAWAY."""
    return int.from_bytes(goaway[4:8], "big"), goaway[8:].decode()

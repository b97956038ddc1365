"""Helpers of the tests of `chatify-stream rooms`: servers, and calls of the command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chatify_stream import ChatServer
from chatify_stream.server import RoomOptions

from ...server.talking import serving
from ..command_line import Finished, invoke
from ..server_thread import ServerThread


@asynccontextmanager
async def rooms_server(**options: Any) -> AsyncIterator[ChatServer]:
    """Run a server with rooms in this process."""
    async with serving(rooms=RoomOptions(service=True, **options)) as server:
        yield server


def rooms(server: ServerThread | ChatServer, *args: str, stdin: str | bytes = b"") -> Finished:
    return invoke("rooms", args[0], "--target", address_of(server), *args[1:], stdin=stdin)


async def rooms_soon(server: ChatServer, *args: str, stdin: str | bytes = b"") -> Finished:
    """The same of a server in this process."""
    return await asyncio.to_thread(rooms, server, *args, stdin=stdin)


def address_of(server: ServerThread | ChatServer) -> str:
    return server.address if isinstance(server, ServerThread) else f"127.0.0.1:{server.port}"


def on_terminal(server: ServerThread | ChatServer, *args: str) -> str:
    """Return the output on a terminal, in a time zone five hours behind UTC."""
    target = ("--target", address_of(server))
    return invoke("rooms", args[0], *target, *args[1:], env={"TZ": "EST5"}, terminal=True).stdout

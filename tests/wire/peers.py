"""Addresses that refuse connections or do not answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress

__all__ = ["accepting", "full", "refusing", "silent"]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


@contextmanager
def refusing() -> Iterator[str]:
    """Reserve an address that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield _address(sock)


@contextmanager
def silent() -> Iterator[str]:
    """Open an address that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield _address(sock)


@contextmanager
def full() -> Iterator[str]:
    """Open an address that does not accept connections, like a machine that is down."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock, ExitStack() as stack:
        while True:  # until the backlog is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(sock.getsockname())
            try:
                waiting.getpeername()
            except OSError:
                break
        yield _address(sock)


@asynccontextmanager
async def accepting(serve: Serve) -> AsyncIterator[str]:
    """Open an address whose connections are served by `serve`."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError):
            await serve(reader, writer)

    listener = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    try:
        yield _address(listener.sockets[0])
    finally:
        listener.close()

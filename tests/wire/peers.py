"""Addresses at which something goes wrong: nobody, or somebody who says nothing."""

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
    """An address that is taken, so that nobody else listens there, and refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield _address(sock)


@contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections, and says nothing on them."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield _address(sock)


@contextmanager
def full() -> Iterator[str]:
    """An address that does not even answer, as that of a machine that is down."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock, ExitStack() as stack:
        while True:  # until the kernel lets one wait
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
    """An address whose connections `serve` has."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError):
            await serve(reader, writer)

    listener = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    try:
        yield _address(listener.sockets[0])
    finally:
        listener.close()

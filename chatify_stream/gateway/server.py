"""Run the gateway on uvicorn, with the signals, errors and shutdown of this package."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from starlette.applications import Starlette

from ..errors import ListenError


class GatewayServer:
    """Serves an ASGI application on one port. A server is started once."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._uvicorn: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """The port, known after `start`."""

    async def start(self, host: str, port: int) -> None:
        """Accept connections on all addresses of `host`, on a free port if `port` is 0.

        Waits until the application has started. Raises `ListenError`, and the exception of an
        application that fails to start.
        """
        try:
            sockets = await asyncio.to_thread(_bind, host, port)
        except (OSError, OverflowError, ValueError) as error:
            raise ListenError.on_address(host, port, error) from error
        self.port = sockets[0].getsockname()[1]
        # h11 and asyncio's own loop need no compiled package. The command sets up logging.
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            loop="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
        )
        self._uvicorn = _Uvicorn(config)
        self._task = asyncio.create_task(self._uvicorn.serve(sockets))
        ready = asyncio.create_task(self._uvicorn.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def drain(self, grace: float = 10.0) -> None:
        """Stop accepting connections, wait at most `grace` seconds for open requests, then close.

        `close` may be called meanwhile and ends the wait. Does nothing if the server was not
        started.
        """
        if self._uvicorn is not None and self._task is not None:
            self._uvicorn.should_exit = True
            await asyncio.wait([self._task], timeout=grace)
            await self.close()

    async def close(self) -> None:
        """Stop accepting connections, and end open requests with status 503. May be called again.

        Waits until the requests have ended. Does nothing if the server was not started.
        """
        if self._uvicorn is None or self._task is None:
            return
        self._uvicorn.should_exit = True
        if not self._task.done():
            # Shutting down the application closes its channel, so open requests get a 503. Uvicorn
            # would cancel them, which gives each a 500 and a traceback in the log.
            self._uvicorn.force_exit = True
            await self._uvicorn.lifespan.shutdown()
        await asyncio.wait([self._task])
        self._task.result()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the command handles the signals of the process

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _bind(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of the host, all on the same port."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as on_failure:
        sockets: list[socket.socket] = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = on_failure.enter_context(socket.socket(family, kind, protocol))
            if sys.platform not in ("win32", "cygwin"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = sockets[0].getsockname()[1] if sockets else port
            sock.bind((address[0], chosen, *address[2:]))
            sock.setblocking(False)
            sockets.append(sock)
        on_failure.pop_all()
    return sockets

"""The port of the metrics: HTTP/1.1 in threads of its own, so that a blocked event loop is seen.

Python's own HTTP server, with the WSGI application of prometheus_client, which knows the formats.
Rules: at most so many requests at once, and each has some seconds to come; others are not taken.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from ...errors import ListenError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Endpoint"]

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16
SECONDS = 5.0
"""That a client has to send its request, and to take the answer."""

POLL = 0.1
"""Seconds after which closing is noticed."""

TEXT = ("Content-Type", "text/plain; charset=utf-8")

Health = Callable[[], tuple[bool, str]]
"""Whether all is well, and in a word how it is."""


class Endpoint:
    """Serves from when it is made until `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Health,
        *,
        reuse_port: bool = False,
    ) -> None:
        """`reuse_port`: another process may listen on the port, too. Raises `ListenError`."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, address = found[0][0], found[0][4]
            self._server = _Server(family, (str(address[0]), port), reuse_port)
        except (OSError, OverflowError) as error:
            raise ListenError.on_address(host, port, error) from error
        self._server.set_app(_application(make_wsgi_app(registry), health))
        self._thread = Thread(
            target=self._server.serve_forever, args=(POLL,), name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    async def close(self) -> None:
        """Stops listening. Requests that are underway are not waited for."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


def _application(metrics: WSGIApplication, health: Health) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            match environ["PATH_INFO"]:
                case "/metrics":
                    return metrics(environ, start_response)
                case "/healthz":
                    is_well, word = health()
                    start_response("200 OK" if is_well else "503 Service Unavailable", [TEXT])
                    return [f"{word}\n".encode()]
                case _:
                    start_response("404 Not Found", [TEXT])
                    return [b"there is /metrics and /healthz\n"]
        except Exception:
            log.exception("the metrics cannot be shown")
            start_response("500 Internal Server Error", [TEXT])
            return [b"the metrics cannot be shown; the log of the server says why\n"]

    return application


class _Handler(WSGIRequestHandler):
    timeout = SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, family: int, address: tuple[str, int], reuse_port: bool) -> None:
        self.address_family = family
        self.allow_reuse_port = reuse_port
        self._places = BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's looks the name of the host up, and may wait long
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._places.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request for metrics failed", exc_info=True)

"""Export the metrics, also while the event loop is blocked.

The state of the server is read only in the event loop. A thread asks the loop for the metrics and
waits at most a second. While the loop is blocked, the thread gets the metrics that were collected
last, and how long the loop has been blocked.

The port serves them over HTTP/1.1, in threads. Python's own HTTP server runs the WSGI application
of prometheus_client, which knows the formats. At most `MAX_REQUESTS` requests are served at once;
further connections are closed. A client that takes longer than `REQUEST_TIMEOUT` to send its
request or to read the response is disconnected.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.registry import Collector

from ...errors import ListenError
from .families import metric_families

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

LOOP_TIMEOUT = 1.0
"""Seconds that a thread waits for the event loop."""

MAX_REQUESTS = 16

REQUEST_TIMEOUT = 5.0
"""Seconds that a read or a write of a client may take."""

POLL_INTERVAL = 0.1
"""Seconds after which `close` takes effect at the latest."""

TEXT = ("Content-Type", "text/plain; charset=utf-8")

Health = Callable[[], tuple[bool, str]]
"""Returns whether the server is healthy, and its status in one word. Called in any thread."""


class LoopCollector(Collector):
    """A collector of prometheus_client. It is made in the thread of the event loop."""

    def __init__(
        self, gather: Callable[[], list[Metric]], current_lag: Callable[[], float]
    ) -> None:
        """Collect once, now.

        `gather` returns the metrics and is called in the event loop. `current_lag` returns for how
        many seconds the loop has been blocked and is called in any thread.
        """
        self._gather = gather
        self._current_lag = current_lag
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._gathered = gather()

    def collect(self) -> Iterable[Metric]:
        stalled = metric_families({"chatify_event_loop_stalled_seconds": self._current_lag()})
        gathered: Future[list[Metric]] = Future()
        if threading.get_ident() == self._thread:
            self._gathered = self._gather()
        elif self._call(lambda: _set_result(gathered, self._gather)):
            try:
                self._gathered = gathered.result(LOOP_TIMEOUT)
            except TimeoutError:
                log.warning("event loop blocked: returning the metrics that were collected before")
        return [*self._gathered, *stalled]

    describe = collect
    """Returns the metrics; the registry rejects a name that it has already."""

    def is_loop_alive(self) -> bool:
        """Return whether the event loop answers in time. Call it from another thread."""
        answered = threading.Event()
        return self._call(answered.set) and answered.wait(LOOP_TIMEOUT)

    def _call(self, function: Callable[[], object]) -> bool:
        """Make the loop call the function; return False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True


def _set_result(future: Future[list[Metric]], gather: Callable[[], list[Metric]]) -> None:
    try:
        future.set_result(gather())
    except BaseException as error:  # it is raised in the thread that waits, not here
        future.set_exception(error)


class Endpoint:
    """An HTTP server that runs from its creation until `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Health,
        *,
        reuse_port: bool = False,
    ) -> None:
        """Listen on `host` and `port`, 0 for a free port, and serve.

        With `reuse_port`, other processes may listen on the port too. Raises `ListenError`.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, *_, address = found[0]
            self._server = _Server(family, (str(address[0]), port), reuse_port)
        except (OSError, OverflowError) as error:
            raise ListenError.on_address(host, port, error) from error
        self.port: int = self._server.server_address[1]
        self._server.set_app(_application(make_wsgi_app(registry), health))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_INTERVAL,), name="metrics", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        """Stop listening, without waiting for open requests."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


def _application(metrics: WSGIApplication, health: Health) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            match environ["PATH_INFO"]:
                case "/metrics":
                    return metrics(environ, start_response)
                case "/healthz":
                    is_healthy, word = health()
                    start_response("200 OK" if is_healthy else "503 Service Unavailable", [TEXT])
                    return [f"{word}\n".encode()]
                case _:
                    start_response("404 Not Found", [TEXT])
                    return [b"not found; try /metrics or /healthz\n"]
        except Exception:
            log.exception("collecting the metrics failed")
            start_response("500 Internal Server Error", [TEXT])
            return [b"collecting the metrics failed; see the log of the server\n"]

    return application


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, family: int, address: tuple[str, int], reuse_port: bool) -> None:
        self.address_family = family
        self.allow_reuse_port = reuse_port
        self._slots = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer looks up the host name, which may take long
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._slots.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request to the metrics port failed", exc_info=True)

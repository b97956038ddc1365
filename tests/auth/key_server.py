"""A real HTTP server of keys, in a thread."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class KeyServer:
    """What it answers can be changed; `asked` counts."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/jwks.json?a=b"
        self.answer: tuple[int, bytes] = (200, b"")
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def asked(self) -> int:
        return len(self.paths)


@contextmanager
def serving_keys(context: ssl.SSLContext | None = None) -> Iterator[KeyServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.paths.append(self.path)
            keys.may_answer.wait(30)
            status, data = keys.answer
            self.send_response(status)
            for name, value in keys.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    keys = KeyServer(server.server_address[1], "http" if context is None else "https")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield keys
    finally:
        keys.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()

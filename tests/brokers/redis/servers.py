"""Real Redis servers, each on a port of its own and in a folder of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...ports import free_port
from ...support.tools import find_tool

TIMEOUT = 20.0
"""Seconds for what a process does at once."""


class RedisServer:
    """A process that may be ended and started again, with the same port and the same files."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.options = options
        self.socket = folder / f"redis-{self.port}.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [find_tool("redis-server"), *self.config_file(), "--port", str(self.port)]
        argv += ["--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no"]
        argv += ["--unixsocket", str(self.socket), "--repl-diskless-sync-delay", "0", *self.options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        self.wait_until_it_answers()

    def config_file(self) -> list[str]:
        return []

    def wait_until_it_answers(self) -> None:
        end = time.monotonic() + TIMEOUT
        while not self.ask("PING").startswith((b"+PONG", b"-NOAUTH")):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def ask(self, *words: str | bytes) -> bytes:
        """The beginning of the answer, as it comes; nothing from one that is not there."""
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        request = b"*%d\r\n" % len(encoded)
        request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as sock:
                sock.sendall(request)
                return sock.recv(65536)
        except OSError:
            return b""

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()


class Sentinel(RedisServer):
    """One that watches a master, which it calls `chat`."""

    def __init__(self, folder: Path, master: RedisServer, replica: RedisServer) -> None:
        super().__init__(folder, "--sentinel")
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"sentinel monitor chat 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds chat 500\n"
            "sentinel failover-timeout chat 2000\n"
            f"sentinel known-replica chat 127.0.0.1 {replica.port}\n"
        )

    def config_file(self) -> list[str]:
        return [str(self._file)]


@contextmanager
def redis_server(*options: str, **more: Any) -> Iterator[RedisServer]:
    """One that runs, without persistence unless the options say so."""
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = RedisServer(Path(folder), *(options or ("--save", "")), **more)
        try:
            server.start()
            yield server
        finally:
            server.kill()


async def in_thread(function: Any, *arguments: Any) -> Any:
    """What waits, without the loop waiting."""
    return await asyncio.to_thread(function, *arguments)

"""The processes of a run: nodes, Redis and HAProxy, each ended by its own id.

What a process writes goes to a file in the folder of the run.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..support.tools import find_tool

__all__ = ["Node", "Process", "Proxy", "RedisProcess"]

PATIENCE = 60.0
"""Seconds that a process has to begin or to end."""

AGAIN = 0.05
"""Seconds before what is not there yet is asked for again."""


class Process:
    """One that may be ended and started again."""

    def __init__(self, log: Path, *argv: str) -> None:
        self._log = log
        self._argv = argv
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns when it is ready. Raises `RuntimeError` when it ends instead."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, cwd=self._log.parent, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self.is_ready():
                    if not self.is_running:
                        raise RuntimeError(f"{self._argv}: {self.written()}")
                    await asyncio.sleep(AGAIN)
        except BaseException:
            await self.kill()
            raise

    async def is_ready(self) -> bool:
        """What was started does what it is for; asked until it says so."""
        raise NotImplementedError

    def written(self) -> str:
        """The end of what it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    async def wait(self) -> None:
        """Until it has ended."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """Ends it with SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ends it with SIGTERM, which gives it the time that it takes."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()


class Node(Process):
    """`chatify-stream serve`, always at the same address."""

    def __init__(
        self,
        log: Path,
        host: str,
        port: int,
        broker: str,
        *,
        prefix: Sequence[str] = (),
        grace: float = 10.0,
    ) -> None:
        """`prefix` is a command that runs it in another network."""
        where = ("--host", host, "--port", str(port), "--broker", broker, "--grace", str(grace))
        super().__init__(log, *prefix, sys.executable, "-m", "chatify_stream", "serve", *where)
        self.host = host
        self.port = port
        self.is_serving = False

    async def start(self) -> None:
        self.is_serving = False
        await super().start()
        self.is_serving = True

    async def is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).startswith(b"listening")

    async def _end(self, number: signal.Signals) -> None:
        self.is_serving = False
        await super()._end(number)

    async def keep_up(self, chance: Random, say: Callable[[str], object]) -> None:
        """Starts it again whenever it has ended, as systemd would; until it is cancelled."""
        while True:
            await self.wait()
            self.is_serving = False
            await asyncio.sleep(chance.uniform(0, 0.5))
            try:
                await self.start()
            except (RuntimeError, TimeoutError) as error:  # Redis is away, too
                say(f"a node does not start: {str(error).strip().splitlines()[-1:]}")


class RedisProcess(Process):
    """`redis-server`, which has on the disk what it has confirmed."""

    def __init__(self, folder: Path, host: str, port: int, prefix: Sequence[str] = ()) -> None:
        self.data = folder / "redis"
        self.data.mkdir()
        self._socket = folder / "redis.sock"
        options = {
            "bind": host,
            "port": port,
            "protected-mode": "no",
            "dir": self.data,
            "unixsocket": self._socket,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        super().__init__(folder / "redis.log", *prefix, find_tool("redis-server"), *words)
        self.broker = f"unix://{self._socket}"
        """As this process reaches it."""

    async def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        await super().start()

    async def is_ready(self) -> bool:
        return await self.ask("PING") is not None

    async def ask(self, *words: str) -> object:
        """Its answer; None from one that cannot be asked."""
        client = Redis(unix_socket_path=str(self._socket))
        try:
            return await client.execute_command(*words)
        except (RedisError, OSError):
            return None
        finally:
            await client.aclose()

    def written(self) -> str:
        assert self._process is not None
        return f"exit status {self._process.returncode}"


PROXY_CONFIG = """
global
    maxconn 5000
defaults
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
backend checks
    mode http
    option httpchk
    http-check send meth GET uri /readyz
    http-check expect status 200
    default-server proto h2 check check-proto h2 inter 500ms fall 2 rise 1
{checked}
listen chat
    mode tcp
    bind 127.0.0.1:{port}
    balance leastconn
    retries 3
    option redispatch 1
{served}
"""


class Proxy(Process):
    """HAProxy before the nodes, which hands out connections."""

    def __init__(self, folder: Path, port: int, nodes: Sequence[Node]) -> None:
        config = folder / "haproxy.cfg"
        servers = [f"    server {n} {node.host}:{node.port}" for n, node in enumerate(nodes)]
        config.write_text(
            PROXY_CONFIG.format(
                port=port,
                checked="\n".join(servers),
                served="\n".join(f"{line} track checks/{n}" for n, line in enumerate(servers)),
            ),
            encoding="utf-8",
        )
        super().__init__(folder / "haproxy.log", find_tool("haproxy"), "-db", "-f", str(config))
        self._port = port
        self.target = f"127.0.0.1:{port}"

    async def is_ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True

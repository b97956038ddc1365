"""How nodes reach Redis, and how that way is cut: nothing passes, and nobody is told.

`Namespaces` is the real thing: each node and Redis have a network of their own, with a wire from
node to Redis that is taken down (`ip link set down`), and another one from the node to its clients.
It takes root, on Linux. `Relays` have the bytes pass through this process, which stops to read.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from ..ports import free_port

__all__ = ["Namespaces", "Network", "Relays", "network_for"]

REDIS_PORT = 6379
NODE_PORT = 9000

TIMEOUT = 5.0
"""Seconds that a node waits for Redis, before it says that it is away."""

_numbers = itertools.count()


class Network(Protocol):
    """What a run is built in. The numbers are those of the nodes."""

    redis_host: str
    """Where Redis listens."""
    redis_port: int

    async def open(self, nodes: int) -> None: ...

    async def close(self) -> None:
        """Leaves nothing behind; may be called again, and after an `open` that has failed."""

    def redis_prefix(self) -> Sequence[str]:
        """The command that runs Redis in its network."""

    def node_prefix(self, node: int) -> Sequence[str]: ...

    def node_address(self, node: int) -> tuple[str, int]:
        """Where the node listens, and its clients find it."""

    def redis_url(self, node: int) -> str:
        """Where the node finds Redis."""

    async def cut(self, node: int) -> None:
        """From now on nothing passes between the node and Redis."""

    async def mend(self, node: int) -> None: ...


class Relays:
    """Everything on 127.0.0.1."""

    redis_host = "127.0.0.1"

    def __init__(self) -> None:
        self.redis_port = free_port()
        self._relays: list[_Relay] = []
        self._addresses: list[tuple[str, int]] = []

    async def open(self, nodes: int) -> None:
        for _ in range(nodes):
            relay = _Relay(self.redis_port)
            await relay.open()
            self._relays.append(relay)
            self._addresses.append(("127.0.0.1", free_port()))

    async def close(self) -> None:
        for relay in self._relays:
            await relay.close()

    def redis_prefix(self) -> Sequence[str]:
        return ()

    def node_prefix(self, node: int) -> Sequence[str]:
        return ()

    def node_address(self, node: int) -> tuple[str, int]:
        return self._addresses[node]

    def redis_url(self, node: int) -> str:
        return f"redis://127.0.0.1:{self._relays[node].port}?timeout={TIMEOUT:g}"

    async def cut(self, node: int) -> None:
        self._relays[node].may_pass.clear()

    async def mend(self, node: int) -> None:
        self._relays[node].may_pass.set()


class _Relay:
    """Passes on what comes, while it may."""

    def __init__(self, port: int) -> None:
        """`port` is that of Redis."""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.may_pass = asyncio.Event()
        self.may_pass.set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            await self.may_pass.wait()
            there, to_redis = await asyncio.open_connection("127.0.0.1", self._port)
            writers.append(to_redis)
            ways = [
                asyncio.ensure_future(self._pass(reader, to_redis)),
                asyncio.ensure_future(self._pass(there, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in writers:
                each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self.may_pass.wait()
                writer.write(data)
                await writer.drain()


class Namespaces:
    """Networks of the kernel: one for Redis, and one a node, with a veth pair to it and to here."""

    redis_host = "0.0.0.0"  # of its namespace, which only the nodes reach
    redis_port = REDIS_PORT

    def __init__(self) -> None:
        run, number = os.getpid(), next(_numbers)
        self._name = f"t{run}x{number}"
        self._first = (run + number) % 8192 * 16
        self._undoing: list[str] = []
        """What takes away again what was added."""

    async def open(self, nodes: int) -> None:
        redis = await self._add("r")
        for node in range(nodes):
            own = await self._add(str(node))
            host, front = self.node_address(node)[0], f"{self._name}n{node}"
            self._undoing.append(f"link delete {front}")
            await ip(f"link add {front} type veth peer name front netns {own}")
            await ip(f"address add {self._address(node, 1)}/30 dev {front}")
            await ip(f"link set {front} up")
            await ip(f"-n {own} address add {host}/30 dev front")
            await ip(f"-n {own} link set front up")
            back = f"back{node}"
            await ip(f"-n {redis} link add {back} type veth peer name back netns {own}")
            await ip(f"-n {redis} address add 10.0.{node}.1/30 dev {back}")
            await ip(f"-n {redis} link set {back} up")
            await ip(f"-n {own} address add 10.0.{node}.2/30 dev back")
            await ip(f"-n {own} link set back up")

    async def close(self) -> None:
        while self._undoing:
            with suppress(RuntimeError):  # it was not added, and the others go all the same
                await ip(self._undoing[-1])
            self._undoing.pop()

    async def _add(self, what: str) -> str:
        name = f"{self._name}{what}"
        self._undoing.append(f"netns delete {name}")
        await ip(f"netns add {name}")
        await ip(f"-n {name} link set lo up")
        return name

    def _address(self, node: int, last: int) -> str:
        """In 198.18.0.0/15, which is for tests of networks (RFC 2544)."""
        number = (198 << 24 | 18 << 16) + self._first + 4 * node + last
        return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))

    def redis_prefix(self) -> Sequence[str]:
        return ("ip", "netns", "exec", f"{self._name}r")

    def node_prefix(self, node: int) -> Sequence[str]:
        return ("ip", "netns", "exec", f"{self._name}{node}")

    def node_address(self, node: int) -> tuple[str, int]:
        return self._address(node, 2), NODE_PORT

    def redis_url(self, node: int) -> str:
        return f"redis://10.0.{node}.1:{REDIS_PORT}?timeout={TIMEOUT:g}"

    async def cut(self, node: int) -> None:
        await ip(f"-n {self._name}r link set back{node} down")

    async def mend(self, node: int) -> None:
        await ip(f"-n {self._name}r link set back{node} up")


async def ip(words: str) -> None:
    """Raises `RuntimeError`."""
    process = await asyncio.create_subprocess_exec(
        "ip", *words.split(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, wrong = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"ip {words}: {wrong.decode().strip()}")


async def network_for() -> tuple[Network, str]:
    """The best that can be had here, and in words which that is."""
    reason = "there is no command ip"
    if shutil.which("ip"):
        trial = Namespaces()
        try:
            await trial.open(1)
            return Namespaces(), "network namespaces, ip link set down"
        except RuntimeError as error:
            reason = str(error)
        finally:
            await trial.close()
    return Relays(), f"relays in this process, since network namespaces cannot be had: {reason}"

"""One checked connection to Redis, the dialer that opens it, and the base class of its owners.

redis-py's clients repeat commands, and its pub/sub reconnects silently after a loss. Here a lost
connection stays lost, and its owner decides. Only the connections of redis-py are used, for the
protocol and TLS.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, SSLConnection

from ...address import Address
from ...config.broker_url import RedisLocation
from .errors import LostError, UnusableError, code_of, reason_of
from .scripts import SCRIPTS

log = logging.getLogger(__name__)

MIN_VERSION = (6, 2)

MIN_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds between attempts to connect, at least and at most."""

Command = tuple[str | bytes | int | float, ...]


class RedisConnection:
    def __init__(self, connection: AbstractConnection, location: RedisLocation) -> None:
        self._connection = connection
        self._timeout = location.timeout
        # redis-py 8 renamed the method and deprecated the old name.
        name = "can_read" if hasattr(connection, "can_read") else "can_read_destructive"
        self._can_read = getattr(connection, name)
        self.run = ""
        """Changes when Redis restarts or becomes the master."""
        self.version: tuple[int, ...] = MIN_VERSION

    async def open(self) -> None:
        """Connect. Raises the errors of redis-py."""
        await self._connection.connect()  # type: ignore[no-untyped-call]

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands; return the answers, which may be errors of Redis. Raises `LostError`."""
        replies: list[Any] = []
        try:
            async with asyncio.timeout(self._timeout):
                await self.send(commands)
                for _ in commands:
                    try:
                        replies.append(await self._connection.read_response())
                    except exceptions.ResponseError as error:
                        replies.append(error)
        except (exceptions.RedisError, OSError) as error:
            # redis-py reports some error codes as a lost connection.
            lost = "" if code_of(error) else "the connection was lost: "
            raise LostError(lost + reason_of(error)) from error
        return replies

    async def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for answers. Raises the errors of redis-py."""
        await self._connection.send_packed_command(_pack(commands), check_health=False)

    async def receive(self) -> Any:
        """Wait for the next pub/sub event. Raises the errors of redis-py."""
        return await self._connection.read_response()

    async def is_stale(self) -> bool:
        """Return whether an idle connection was closed: nothing should be readable."""
        try:
            return bool(await self._can_read())
        except (exceptions.RedisError, OSError):
            return True

    async def close(self) -> None:
        """Close without waiting for the peer."""
        with suppress(exceptions.RedisError, OSError):
            await self._connection.disconnect(nowait=True)


def _pack(commands: Sequence[Command]) -> bytes:
    """Encode commands as redis-py does, in half the time."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Dialer:
    def __init__(self, location: RedisLocation) -> None:
        self._location = location

    async def dial(self, address: Address | None, *, any_role: bool = False) -> RedisConnection:
        """Connect to a master, load the scripts; `any_role` skips both. Raises `UnusableError`."""
        link = self._link(address)
        try:
            async with asyncio.timeout(self._location.timeout):
                await link.open()
                if not any_role:
                    await self._check(link)
        except BaseException as error:
            await link.close()
            if isinstance(error, exceptions.RedisError | OSError | LostError):
                question = "; check that its port uses TLS" if self._location.is_tls else ""
                raise UnusableError(reason_of(error) + question) from error
            raise
        return link

    async def dial_master(self) -> RedisConnection:
        """Connect to the master that the Sentinels name. Raises `UnusableError`."""
        reasons = []
        for address in self._location.addresses:
            try:
                return await self.dial(await self._ask_sentinel(address))
            except UnusableError as error:
                reasons.append(f"{address}: {error}")
        raise UnusableError("; ".join(reasons))

    async def _ask_sentinel(self, address: Address) -> Address:
        location = self._location
        link = self._link(address, location.sentinel_username, location.sentinel_password, 0)
        try:
            async with asyncio.timeout(min(location.timeout, 2.0)):
                await link.open()
                ask = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", location.master)
                [reply] = await link.ask([ask])
        except (exceptions.RedisError, OSError, LostError) as error:
            raise UnusableError(reason_of(error)) from error
        finally:
            await link.close()
        if isinstance(reply, Exception):
            raise UnusableError(f"not a Sentinel: {reason_of(reply)}")
        if reply is None:
            raise UnusableError(f"the Sentinel does not know the master {location.master!r}")
        host, port = reply
        return Address(host.decode(), int(port))

    def _link(self, address: Address | None, *login: Any) -> RedisConnection:
        """Return a closed connection to a server, or without an address, to the Unix socket."""
        location = self._location
        username, password, db = login or (location.username, location.password, location.db)
        options: dict[str, Any] = {"db": db, "username": username, "password": password}
        options |= {"protocol": 2, "socket_timeout": None}
        options["socket_connect_timeout"] = location.timeout
        if address is None:
            options["path"] = location.path
            return RedisConnection(aioredis.UnixDomainSocketConnection(**options), location)
        options |= {"host": address.host, "port": address.port}
        if not location.is_tls:
            return RedisConnection(aioredis.Connection(**options), location)
        tls = {"ssl_check_hostname": "true", **dict(location.tls)}
        options |= {**tls, "ssl_check_hostname": tls["ssl_check_hostname"] == "true"}
        return RedisConnection(SSLConnection(**options), location)

    async def _check(self, link: RedisConnection) -> None:
        loads = [("SCRIPT", "LOAD", script.source) for script in SCRIPTS]
        info, *loaded = await link.ask([("INFO",), *loads])
        if isinstance(info, Exception):
            if code_of(info) != "NOPERM":
                raise UnusableError(reason_of(info))
            info = b""  # restarts then go unnoticed
        about = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        found = about.get("redis_version", "6.2")
        link.version = tuple(int(n) for n in found.split(".")[:2])
        if link.version < MIN_VERSION:
            oldest = ".".join(map(str, MIN_VERSION))
            raise UnusableError(f"Redis {found} is too old; use Redis {oldest} or newer")
        if about.get("role", "master") != "master":
            raise UnusableError(reason_of(exceptions.ReadOnlyError()))
        for reply in loaded:
            if isinstance(reply, Exception):
                raise UnusableError(reason_of(reply))
        link.run = f"{about.get('run_id', '')}{about.get('master_replid', '')[:8]}"


Dial = Callable[[], Awaitable[RedisConnection]]
Callback = Callable[[], object]


class Reconnecting(ABC):
    """Keeps a connection to a Redis in use, and replaces it when it is lost."""

    def __init__(self, dial: Dial, on_problem: Callback) -> None:
        """`on_problem` is called when Redis is unavailable or a slot has moved."""
        self._dial = dial
        self._on_problem = on_problem
        self._problem = ""
        self._task: asyncio.Task[None] | None = None
        self.is_connected = False

    def start(self, link: RedisConnection | None = None) -> None:
        """Start to serve, with an open connection if there is one."""
        self._task = asyncio.get_running_loop().create_task(self._serve(link))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @abstractmethod
    async def _use(self, link: RedisConnection) -> None:
        """Use the connection until it is lost. May raise `LostError`."""

    async def _serve(self, link: RedisConnection | None) -> None:
        while True:
            link = link or await self._connect()
            self.is_connected, self._problem = True, ""
            try:
                await self._use(link)
            except LostError as error:
                self._problem = str(error)
            except Exception:  # a bug; the callers must not wait forever
                log.exception("Redis command failed")
            finally:
                self.is_connected = False
                await link.close()
            link = None

    async def _connect(self) -> RedisConnection:
        pause = MIN_PAUSE
        while True:
            try:
                return await self._dial()
            except UnusableError as error:
                self._problem = str(error)
            self._on_problem()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, MAX_PAUSE)

"""One checked connection to Redis, and the dialer that opens it.

redis-py's clients repeat commands, and its pub/sub reconnects silently after a loss. Here a lost
connection stays lost, and its owner decides. Only the connections of redis-py are used, for the
protocol and TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, SSLConnection

from ...address import Address
from ...config.broker_url import RedisLocation
from .errors import LostError, UnusableError, code_of, reason_of
from .scripts import SCRIPTS

__all__ = ["Dialer", "RedisConnection"]

MIN_VERSION = (6, 2)

Command = tuple[str | bytes | int | float, ...]


class ServerInfo(NamedTuple):
    """Facts that Redis reports about itself."""

    run: str
    """Changes when Redis restarts or becomes the master."""
    version: tuple[int, ...]


class RedisConnection:
    """An open connection."""

    def __init__(self, connection: AbstractConnection, about: ServerInfo, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        # redis-py 8 renamed the method and deprecated the old name.
        name = "can_read" if hasattr(connection, "can_read") else "can_read_destructive"
        self._can_read = getattr(connection, name)
        self.info = about

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
            if code_of(error):  # an error code that redis-py reports as a lost connection
                raise LostError(reason_of(error)) from error
            raise LostError(f"the connection was lost: {reason_of(error)}") from error
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
    """Opens connections to the servers of a URL."""

    def __init__(self, location: RedisLocation) -> None:
        self._location = location

    async def dial(self, address: Address | None, *, any_role: bool = False) -> RedisConnection:
        """Connect to a master and load the scripts; with `any_role`, connect without checks.

        Without an address, connects to the Unix socket. Raises `UnusableError`.
        """
        connection = self._connection(address)
        try:
            async with asyncio.timeout(self._location.timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
                link = RedisConnection(
                    connection, ServerInfo("", MIN_VERSION), self._location.timeout
                )
                if not any_role:
                    link.info = await self._check(link)
        except BaseException as error:
            await RedisConnection(connection, ServerInfo("", MIN_VERSION), 1).close()
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
        connection = self._connection(
            address, location.sentinel_username, location.sentinel_password, 0
        )
        link = RedisConnection(connection, ServerInfo("", MIN_VERSION), location.timeout)
        try:
            async with asyncio.timeout(min(location.timeout, 2.0)):
                await connection.connect()  # type: ignore[no-untyped-call]
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

    def _connection(self, address: Address | None, *login: Any) -> AbstractConnection:
        location = self._location
        username, password, db = login or (location.username, location.password, location.db)
        options: dict[str, Any] = {
            "db": db,
            "username": username,
            "password": password,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": location.timeout,
        }
        if address is None:
            return aioredis.UnixDomainSocketConnection(path=location.path, **options)
        options |= {"host": address.host, "port": address.port}
        if not location.is_tls:
            return aioredis.Connection(**options)
        tls: dict[str, Any] = dict(location.tls)
        if "ssl_check_hostname" in tls:
            tls["ssl_check_hostname"] = tls["ssl_check_hostname"] == "true"
        return SSLConnection(**{"ssl_check_hostname": True, **tls}, **options)

    async def _check(self, link: RedisConnection) -> ServerInfo:
        loads = [("SCRIPT", "LOAD", script.source) for script in SCRIPTS]
        info, *loaded = await link.ask([("INFO",), *loads])
        if isinstance(info, Exception):
            if code_of(info) != "NOPERM":
                raise UnusableError(reason_of(info))
            info = b""  # restarts then go unnoticed
        about = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        version = tuple(int(n) for n in about.get("redis_version", "6.2").split(".")[:2])
        if version < MIN_VERSION:
            oldest = ".".join(map(str, MIN_VERSION))
            raise UnusableError(
                f"Redis {about['redis_version']} is too old; use Redis {oldest} or newer"
            )
        if about.get("role", "master") != "master":
            raise UnusableError(reason_of(exceptions.ReadOnlyError()))
        for reply in loaded:
            if isinstance(reply, Exception):
                raise UnusableError(reason_of(reply))
        return ServerInfo(f"{about.get('run_id', '')}{about.get('master_replid', '')[:8]}", version)

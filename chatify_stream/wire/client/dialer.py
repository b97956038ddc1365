"""Make connections: TCP or Unix socket, TLS if configured, and the SETTINGS of the server."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...limits import Limits
from ..connection.protocol import READ_SIZE
from ..connection.registry import Connections
from ..grpclib_internals import Configuration
from ..http2.h2_connection import h2_config
from ..tls.contexts import tls_reason
from .protocol import ClientProtocol
from .resolver import Endpoint
from .state import Failure


@dataclass(eq=False)
class DialError(Exception):
    """A connection attempt failed."""

    failure: Failure


class Dialer:
    def __init__(
        self,
        config: Configuration,
        *,
        timeout: float,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
        server_name: str | None = None,
    ) -> None:
        """`timeout`: seconds for one attempt. `limits`: limits for the peer.

        `server_name`: the name that the server certificate must have. None: the host.
        """
        self.timeout = timeout
        self._config = config
        self._h2_config = h2_config(client_side=True)
        self._limits = limits
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._ssl = ssl_context
        self._server_name = server_name or config.ssl_target_name_override

    async def dial(
        self,
        endpoint: Endpoint,
        *,
        connections: Connections,
        on_capacity: Callable[[], None],
        on_lost: Callable[[ClientProtocol], None],
    ) -> ClientProtocol:
        """Return a connection after the SETTINGS of the server. Raises `DialError`.

        The connection is in `connections` while it is open. `on_capacity` and `on_lost` are as for
        `ClientProtocol`.
        """
        factory = partial(
            ClientProtocol,
            self._config,
            self._h2_config,
            self._limits,
            read_buffer=self._read_buffer,
            fair_share=connections.fair_share,
            endpoint=endpoint,
            owner=connections,
            on_capacity=on_capacity,
            on_lost=on_lost,
        )
        try:
            async with asyncio.timeout(self.timeout):
                protocol = await self._connect(endpoint, factory)
                try:
                    is_greeted = await protocol.greeting
                except BaseException:
                    protocol.abort()
                    raise
        except (OSError, ValueError) as error:
            raise DialError(self._failure(error)) from error
        if is_greeted and protocol.connection.goaway is None:
            return protocol
        raise DialError(_rejection(protocol)) from protocol.lost_by

    async def _connect(
        self, endpoint: Endpoint, factory: Callable[[], ClientProtocol]
    ) -> ClientProtocol:
        loop = asyncio.get_running_loop()
        location = endpoint.location
        tls: dict[str, Any] = {"ssl": self._ssl}
        if self._ssl is not None:
            tls["server_hostname"] = self._server_name or endpoint.host
        if isinstance(location, str):
            return (await loop.create_unix_connection(factory, location, **tls))[1]
        return (await loop.create_connection(factory, location.host, location.port, **tls))[1]

    def _failure(self, error: OSError | ValueError) -> Failure:
        match error:
            case TimeoutError():
                return Failure(f"no answer within {self.timeout:g} s")
            case ssl.SSLError():
                return Failure(f"TLS failed ({tls_reason(error)})")
            case OSError():
                # The texts of asyncio repeat the address, which is part of the final error anyway.
                own_text = str(error) or type(error).__name__
                reason = os.strerror(error.errno) if error.errno else own_text
                # FileNotFoundError: the Unix socket does not exist yet.
                retry_at_once = isinstance(error, ConnectionRefusedError | FileNotFoundError)
                return Failure(reason, retry_at_once)
        return Failure(f"TLS failed ({error})")  # an invalid server name


def _rejection(protocol: ClientProtocol) -> Failure:
    connection = protocol.connection
    if connection.goaway is not None:
        return Failure(f"the server refused the connection ({connection.goaway})")
    if isinstance(protocol.lost_by, ssl.SSLError):
        # In TLS 1.3 a server checks the client certificate after the handshake.
        return Failure(f"TLS failed ({tls_reason(protocol.lost_by)})")
    if connection.peer_error is not None:
        return Failure(f"does not speak gRPC ({connection.peer_error})", not_grpc=True)
    return Failure("the server closed the connection without an answer")

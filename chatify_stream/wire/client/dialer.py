"""Make connections: TCP or Unix socket, TLS if configured, and the SETTINGS of the server."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable

from ..connection.protocol import READ_SIZE
from ..connection.registry import Connections
from ..grpclib_internals import Configuration
from ..http2.h2_connection import h2_config
from ..limits import Limits
from ..tls.errors import tls_reason
from .protocol import ClientProtocol
from .resolver import Endpoint
from .state import Failure

__all__ = ["DialError", "Dialer"]


class DialError(Exception):
    """A connection attempt failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Dialer:
    """Connects a channel to endpoints."""

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

        def factory() -> ClientProtocol:
            return ClientProtocol(
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
                    greeted = await protocol.greeting
                except BaseException:
                    protocol.abort()
                    raise
        except TimeoutError as error:
            raise DialError(Failure(f"no answer within {self.timeout:g} s")) from error
        except ssl.SSLError as error:
            raise _tls_failed(error) from error
        except ValueError as error:  # an invalid server name
            raise DialError(Failure(f"TLS failed ({error})")) from error
        except OSError as error:
            # For a Unix socket: the file does not exist yet.
            retry_at_once = isinstance(error, ConnectionRefusedError | FileNotFoundError)
            raise DialError(Failure(_reason(error), retry_at_once=retry_at_once)) from error
        if greeted and protocol.connection.goaway is None:
            return protocol
        if protocol.connection.goaway is not None:
            raise DialError(
                Failure(f"the server refused the connection ({protocol.connection.goaway})")
            )
        if isinstance(protocol.lost_by, ssl.SSLError):
            # In TLS 1.3 a server checks the client certificate after the handshake.
            raise _tls_failed(protocol.lost_by) from protocol.lost_by
        if protocol.connection.peer_error is not None:
            reason = f"does not speak gRPC ({protocol.connection.peer_error})"
            raise DialError(Failure(reason, not_grpc=True))
        raise DialError(Failure("the server closed the connection without an answer"))

    async def _connect(
        self, endpoint: Endpoint, factory: Callable[[], ClientProtocol]
    ) -> ClientProtocol:
        loop = asyncio.get_running_loop()
        location = endpoint.location
        server_name = None
        if self._ssl is not None:
            server_name = self._server_name or endpoint.host
        if isinstance(location, str):
            _, protocol = await loop.create_unix_connection(
                factory, location, ssl=self._ssl, server_hostname=server_name
            )
        else:
            _, protocol = await loop.create_connection(
                factory, location.host, location.port, ssl=self._ssl, server_hostname=server_name
            )
        return protocol


def _tls_failed(error: ssl.SSLError) -> DialError:
    return DialError(Failure(f"TLS failed ({tls_reason(error)})"))


def _reason(error: OSError) -> str:
    # The texts of asyncio repeat the address, which is part of the final error anyway.
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__

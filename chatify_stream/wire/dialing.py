"""One attempt to connect: TCP, TLS if wanted, and the server's first word; and why it failed."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable

from .client_protocol import ClientProtocol
from .connection import h2_config
from .connections import Connections
from .failure import Failure
from .grpclib_internals import ClientHandler, Configuration
from .limits import Limits
from .names import Endpoint
from .protocol import READ_SIZE

__all__ = ["DialError", "Dialer"]


class DialError(Exception):
    """The attempt failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Dialer:
    """Makes the connections of a channel."""

    def __init__(
        self,
        config: Configuration,
        *,
        timeout: float,
        limits: Limits,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """`timeout`: seconds for an attempt. `limits`: what a server may cost."""
        self.timeout = timeout
        self._config = config
        self._h2_config = h2_config(client_side=True)
        self._limits = limits
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._ssl = ssl_context

    async def dial(
        self,
        endpoint: Endpoint,
        *,
        connections: Connections,
        on_room: Callable[[], None],
        on_lost: Callable[[ClientProtocol], None],
    ) -> ClientProtocol:
        """A connection whose server has greeted. Raises `DialError`.

        It is in `connections` while it is open. `on_room`, `on_lost`: as for `ClientProtocol`.
        """

        def factory() -> ClientProtocol:
            return ClientProtocol(
                ClientHandler(),
                self._config,
                self._h2_config,
                self._limits,
                read_buffer=self._read_buffer,
                endpoint=endpoint,
                on_open=connections.add,
                on_close=connections.discard,
                on_room=on_room,
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
        except (ssl.SSLError, ValueError) as error:  # the latter for a name that TLS cannot have
            raise DialError(Failure(f"TLS failed ({error})")) from error
        except OSError as error:
            # Of a Unix socket, nobody has made the file yet.
            is_cheap = isinstance(error, ConnectionRefusedError | FileNotFoundError)
            raise DialError(Failure(_reason(error), is_cheap=is_cheap)) from error
        if greeted:
            return protocol
        if protocol.connection.peer_error is not None:
            reason = f"does not speak gRPC ({protocol.connection.peer_error})"
            raise DialError(Failure(reason, is_misbehaviour=True))
        raise DialError(Failure("it closed the connection without a word"))

    async def _connect(
        self, endpoint: Endpoint, factory: Callable[[], ClientProtocol]
    ) -> ClientProtocol:
        loop = asyncio.get_running_loop()
        location = endpoint.location
        server_name = None
        if self._ssl is not None:
            server_name = self._config.ssl_target_name_override or endpoint.host
        if isinstance(location, str):
            _, protocol = await loop.create_unix_connection(
                factory, location, ssl=self._ssl, server_hostname=server_name
            )
        else:
            _, protocol = await loop.create_connection(
                factory, location.host, location.port, ssl=self._ssl, server_hostname=server_name
            )
        return protocol


def _reason(error: OSError) -> str:
    # asyncio's own texts repeat the address, which whoever reads this knows.
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__

"""The gRPC client's side: grpclib's channel, with errors that say what happened.

Calls that wait for a connection share one attempt to make it; in grpclib each made its own, one
after the other. A GOAWAY means a new connection for new calls, while those that are open go on;
in grpclib it ended them. A closed channel stays closed; in grpclib one that was closed while it
connected left the connection behind.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl as ssl_module
from types import TracebackType
from typing import Any, cast

import grpclib.client
from grpclib.const import Cardinality, Status
from grpclib.metadata import Deadline
from multidict import MultiDict

from ..errors import ClosedError, UnavailableError, UsageError
from .client_stream import ClientStream
from .codec import ProtoCodec, StatusDetailsCodec
from .compression import IDENTITY, check_encoding
from .connection import h2_config
from .connections import LAST_WORDS, Connections
from .grpclib_internals import (
    ClientHandler,
    CodecBase,
    Configuration,
    H2Protocol,
    Metadata,
    MetadataLike,
    StatusDetailsCodecBase,
)
from .limits import CHANNEL_LIMITS, Limits
from .protocol import READ_SIZE, WireProtocol

__all__ = ["CONNECT_TIMEOUT", "Channel"]

CONNECT_TIMEOUT = 10.0
"""Seconds that reaching the server may take."""


class Channel(grpclib.client.Channel):
    """A connection to one server that is made when a call needs it, and made again after a loss.

    grpclib's API. Besides: `connect`, to make the connection before the first call, and
    `connect_timeout`. A closed channel stays closed.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        limits: Limits = CHANNEL_LIMITS,
        compression: str = IDENTITY,
        path: str | None = None,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        ssl: bool | ssl_module.SSLContext | ssl_module.DefaultVerifyPaths | None = None,
        config: Configuration | None = None,
    ) -> None:
        """`connect_timeout`: seconds that reaching the server may take.

        `limits`: what the server may cost, such as the size of its messages.

        `compression`: how requests are compressed, "gzip", "deflate" or, for not at all,
        "identity". A server that does not read it answers UNIMPLEMENTED. Replies are read in each
        of them.
        """
        super().__init__(
            host,
            port,
            path=path,
            codec=codec or ProtoCodec(),
            status_details_codec=status_details_codec or StatusDetailsCodec(),
            ssl=ssl,
            config=config,
        )
        self._h2_config = h2_config(client_side=True)
        self._connect_timeout = connect_timeout
        self._limits = limits
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._compression = check_encoding(compression)
        self._closed = False
        self._attempt: asyncio.Task[H2Protocol] | None = None
        self._connections = Connections()

    @property
    def target(self) -> str:
        """The address of the server, for people."""
        return self._path or self._authority

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def connect(self) -> None:
        """Makes the connection, unless it stands. Raises `UnavailableError` when it cannot."""
        await self.__connect__()

    async def __connect__(self) -> WireProtocol:
        """One attempt serves all calls that wait for a connection, whichever of them gives up."""
        self._raise_if_closed()
        if self._connected:
            return cast(WireProtocol, await super().__connect__())
        if self._attempt is None:
            self._attempt = self._loop.create_task(super().__connect__())
            self._attempt.add_done_callback(self._attempt_ended)
        attempt = self._attempt
        await asyncio.wait([attempt])
        self._raise_if_closed()
        return cast(WireProtocol, attempt.result())

    def _attempt_ended(self, attempt: asyncio.Task[H2Protocol]) -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # seen, also when no call waits for it any more

    @property
    def _connected(self) -> bool:
        protocol = cast("WireProtocol | None", self._protocol)
        return super()._connected and protocol is not None and not protocol.is_going_away

    def close(self) -> None:
        """Closes the connection; calls that are open end with `ClosedError`."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
        super().close()
        for connection in self._connections:  # those that the server wants to end
            connection.processor.close("the channel was closed")

    async def wait_closed(self) -> None:
        """Waits until the connection is gone, half a second at the most."""
        await self._connections.all_closed(LAST_WORDS)
        self._connections.abort()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: Any,
        reply_type: Any,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
    ) -> ClientStream:
        """A call that is sent when it is entered and its first method awaited.

        `timeout`: seconds until it has to have ended, connecting included. `compression`: as for
        the channel, whose own counts for a call that has none.
        """
        if timeout is not None:
            limit = Deadline.from_timeout(timeout)
            deadline = limit if deadline is None else min(limit, deadline)
        return ClientStream(
            self,
            name,
            cast(Metadata, MultiDict(metadata or ())),
            cardinality,
            request_type,
            reply_type,
            codec=self._codec,
            status_details_codec=self._status_details_codec,
            dispatch=self.__dispatch__,
            deadline=deadline,
            compression=self._compression if compression is None else check_encoding(compression),
        )

    def _protocol_factory(self) -> WireProtocol:
        return WireProtocol(
            ClientHandler(),
            self._config,
            self._h2_config,
            self._limits,
            read_buffer=self._read_buffer,
            on_open=self._connections.add,
            on_close=self._connections.discard,
        )

    async def _create_connection(self) -> H2Protocol:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await super()._create_connection()
        except TimeoutError as error:
            reason = f"no answer within {self._connect_timeout:g} s"
            raise self._unreachable(reason) from error
        except socket.gaierror as error:
            raise self._unreachable(f"the host is not known ({error.strerror})") from error
        except ssl_module.SSLError as error:
            raise self._unreachable(f"TLS failed ({error})") from error
        except OSError as error:
            raise self._unreachable(_reason(error)) from error
        except (OverflowError, ValueError) as error:
            raise UsageError(f"{self.target} is not an address: {error}") from error

    def _unreachable(self, reason: str) -> UnavailableError:
        return UnavailableError(Status.UNAVAILABLE, f"cannot connect to {self.target}: {reason}")

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise ClosedError("the channel is closed")


def _reason(error: OSError) -> str:
    # When a host has several addresses, asyncio puts all their errors into the text of one.
    numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))}
    return os.strerror(numbers.pop()) if len(numbers) == 1 else str(error)

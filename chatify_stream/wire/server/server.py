"""The gRPC server: grpclib's, with an orderly shutdown that always ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl as ssl_module
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import grpclib.server

from ...errors import ListenError, UsageError
from ...limits import Limits
from ..connection.connection import SERVER_CONFIG
from ..connection.protocol import WireProtocol
from ..connection.registry import Connections
from ..connection.statistics import ConnectionStatistics, ServerStatistics, Totals
from ..connection.write_buffer import LINGER_TIMEOUT
from ..grpclib_internals import CodecBase, Configuration, MethodHandler, StatusDetailsCodecBase
from ..http2.h2_connection import h2_config
from ..protobuf.codec import ProtoCodec, StatusDetailsCodec
from .calls import Calls, Pages, Services
from .handshake import ConnectionHandshake, ListenerConfig, Network
from .observers import Observers, ServerObserver

log = logging.getLogger(__name__)

READ_SIZE = 64 * 1024
"""Bytes of one connection that are handled before other connections are served.

They may be five thousand messages, which take ten milliseconds.
"""

SAME_PORT_TRIES = 10
"""Attempts to find a port that is free on all of several addresses, for port 0."""


class Server(grpclib.server.Server):
    """Serves any grpclib or betterproto2 services, with the API of `grpclib.server.Server`.

    It adds `addresses`, `port`, `drain` and statistics. `close` and `wait_closed` also end while
    clients are connected; grpclib's do not on Python 3.12 and later.
    """

    def __init__(
        self,
        handlers: Collection[Any],
        *,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        config: Configuration | None = None,
        limits: Limits | None = None,
        pages: Pages | None = None,
        observers: Sequence[ServerObserver] = (),
    ) -> None:
        """`limits`: the bounds for one peer; None for the defaults.

        `pages`: by path, the responses to plain GET requests over HTTP/2. `observers`: notified of
        connections and calls.
        """
        codec, config = codec or ProtoCodec(), config or SERVER_CONFIG
        super().__init__(handlers, codec=codec, config=config)
        self._configuration = config.__for_server__()
        self._wire_h2_config = h2_config(client_side=False)
        self._limits = limits or Limits()
        methods: dict[str, MethodHandler] = {}
        for handler in handlers:
            methods |= handler.__mapping__()
        self._services = Services(
            methods,
            codec,
            status_details_codec or StatusDetailsCodec(),
            self.__dispatch__,
            pages or {},
            self._limits.max_header_list_size,
            lambda: self._accepting,
            Observers(observers),
        )
        self._connections = Connections(self._limits)
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._closed = Totals()
        self._ended: Counter[str] = Counter()
        self._accepting = True
        self._listener: ListenerConfig | None = None
        self._closing = asyncio.Event()

    @property
    def limits(self) -> Limits:
        """The bounds for one peer. Setting them affects later connections."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._services = replace(self._services, max_header_list_size=limits.max_header_list_size)
        self._connections.set_limits(limits)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The host and port of each TCP socket that the server listens on."""
        sockets = getattr(self._server, "sockets", None) or ()  # uvloop has a server of its own
        names = (sock.getsockname() for sock in sockets)
        return [(name[0], name[1]) for name in names if isinstance(name, tuple)]

    @property
    def port(self) -> int:
        """The TCP port that the server listens on. Raise `UsageError` if there is none."""
        for _, port in self.addresses:
            return port
        raise UsageError("the server does not listen on a TCP port; call start() first")

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    def statistics(self) -> ServerStatistics:
        """Return the counters of all connections so far, closed ones included."""
        connections, services = self._connections, self._services
        totals = replace(self._closed)
        for connection in connections:
            connection.add_to(totals)
        return ServerStatistics(
            connections=len(connections),
            connections_opened=connections.opened,
            connections_refused=connections.refused,
            connections_refused_by=dict(connections.refused_by),
            connections_ended=dict(self._ended),
            calls=len(services.calls),
            calls_opened=totals.streams_opened,
            calls_ended=dict(services.ended),
            messages_received=totals.messages_received,
            messages_sent=totals.messages_sent,
            bytes_received=totals.bytes_received,
            bytes_sent=totals.bytes_sent,
        )

    def connection_statistics(self) -> list[ConnectionStatistics]:
        """Return the counters of each open connection, oldest first."""
        return [connection.statistics() for connection in self._connections]

    @property
    def open_calls(self) -> int:
        """The number of open calls on all connections."""
        return len(self._services.calls)

    async def start(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        path: str | None = None,
        family: socket.AddressFamily = socket.AF_UNSPEC,
        flags: socket.AddressInfo = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 1024,
        ssl: ssl_module.SSLContext | Callable[[], ssl_module.SSLContext] | None = None,
        proxies: Collection[Network] | None = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
    ) -> None:
        """Listen on `host` and `port`, on a Unix socket at `path`, or on `sock`.

        Port 0 selects one free port for all addresses of `host`. `sock` is a bound stream socket.

        `ssl` may be a function that returns the context for each handshake. The client then has to
        select h2 by ALPN. `proxies`: networks whose connections begin with a header of the PROXY
        protocol.

        Raise `UsageError` unless exactly one of the three is given, and `ListenError` with the
        reason when the server cannot listen.
        """
        if (host is not None or port is not None) + (path is not None) + (sock is not None) != 1:
            raise UsageError("a server listens on a host and port, on a path, or on a socket")
        if path is not None:
            path = os.fsdecode(path)
            if not path or "\0" in path[1:]:  # at its start it stands for Linux's abstract names
                raise ListenError(repr(path), "not a valid path; pass one such as '/run/chat.sock'")
        if sock is not None and not isinstance(sock, socket.socket):
            raise ListenError(repr(sock), "not a socket; pass a socket.socket")

        async def listen(port: int | None) -> None:
            loop = asyncio.get_running_loop()
            options: dict[str, Any] = {"sock": sock, "backlog": backlog}
            if path is not None:
                self._server = await loop.create_unix_server(
                    self._protocol_factory, path, **options
                )
                return
            options |= {"family": family, "flags": flags}
            options |= {"reuse_address": reuse_address, "reuse_port": reuse_port}
            self._server = await loop.create_server(self._protocol_factory, host, port, **options)

        if self._server is not None:
            raise RuntimeError("the server was started already")
        self._listener = ListenerConfig.of(ssl, proxies)
        try:
            await listen(port)
            for _ in range(SAME_PORT_TRIES):
                ports = {port for _, port in self.addresses}
                if port != 0 or len(ports) < 2:
                    return
                cast(asyncio.Server, self._server).close()
                self._server = None
                with suppress(OSError):  # taken on the other address: look for another one
                    await listen(ports.pop())
                    return
                await listen(0)
        except (OSError, OverflowError, ValueError) as error:
            if path is not None:
                raise ListenError.on_path(path, error) from error
            if sock is not None:
                raise ListenError.on_socket(sock, error) from error
            raise ListenError.on_address(host or "*", port or 0, error) from error

    def close(self) -> None:
        """Stop listening and end each open call with UNAVAILABLE. `wait_closed` waits for that.

        May be called again. Raise `RuntimeError` if the server was not started.
        """
        self._stop_accepting()
        for connection in self._connections:
            connection.end_calls()
        self._closing.set()
        self._connections.wake()

    async def wait_closed(self) -> None:
        """Wait for `close`, then for connections and handlers, at most 1.5 seconds."""
        await self._closing.wait()
        await self._connections.all_closed(LINGER_TIMEOUT)
        self._connections.abort()
        await self._connections.all_closed(LINGER_TIMEOUT)
        if calls := set(self._services.calls):
            _, stuck = await asyncio.wait(calls, timeout=LINGER_TIMEOUT)
            if stuck:
                log.warning("%d handlers go on although they were cancelled", len(stuck))

    async def drain(self, grace: float) -> None:
        """Close the server within `grace` seconds, and let open calls finish until then.

        Stop listening at once, and ask each peer with a GOAWAY to open new calls elsewhere. Calls
        that were sent before the peer has read it are served. Each connection is closed after its
        last call. At the end of the time `close` ends the remaining calls. Calling `close` earlier
        ends the wait.
        """
        self._stop_accepting()
        for connection in self._connections:
            connection.drain()
        await self._connections.all_closed(grace - LINGER_TIMEOUT, unless=self._closing)
        self.close()
        await self.wait_closed()

    def _stop_accepting(self) -> None:
        if self._server is None:
            raise RuntimeError("the server was not started")
        self._server.close()
        self._accepting = False
        for connection in self._connections.handshaking:
            connection.abort()

    def _protocol_factory(self) -> Any:
        if self._listener is None:
            return self._protocol(_Admission(self))
        listener, limits, connections = self._listener, self._limits, self._connections
        return ConnectionHandshake(
            listener, limits, connections, _Admission(self), read_buffer=self._read_buffer
        )

    def _protocol(self, owner: _Admission, extra: Mapping[str, Any] | None = None) -> WireProtocol:
        return WireProtocol(
            Calls(self._services),
            self._configuration,
            self._wire_h2_config,
            self._limits,
            owner=owner,
            read_buffer=self._read_buffer,
            fair_share=self._connections.fair_share,
            extra=extra,
        )


@dataclass(eq=False, slots=True)
class _Admission:
    """Puts one connection into the server's, first its handshake if it has one."""

    _server: Server
    _handshake: ConnectionHandshake | None = None

    def admit(self, connection: ConnectionHandshake | WireProtocol, address: str | None) -> bool:
        server = self._server
        # The connection may have been in the backlog when the server stopped listening.
        if server._accepting and server._connections.add(connection, address):
            return True
        server._services.observers.connection_refused(address)
        return False

    def begin_http2(self, handshake: ConnectionHandshake, extra: Mapping[str, Any]) -> WireProtocol:
        self._handshake = handshake
        return self._server._protocol(self, extra)

    def handshake_failed(self, reason: str) -> None:
        self._server._ended[reason] += 1

    def add(self, connection: WireProtocol, address: str | None) -> bool:
        if self._handshake is not None:
            self._server._connections.replace(self._handshake, connection)
            self._handshake = None
        elif not self.admit(connection, address):
            return False
        self._server._services.observers.connection_opened(address)
        return True

    def discard(self, connection: WireProtocol) -> None:
        server = self._server
        server._connections.discard(connection)
        statistics = connection.statistics()
        connection.add_to(server._closed)
        if connection.ended_by is not None:
            server._ended[connection.ended_by] += 1
        server._services.observers.connection_closed(statistics, connection.ended_by)

"""The gRPC server: grpclib's, with a shutdown that is orderly and always ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl as ssl_module
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

import grpclib.server

from ...errors import ListenError, UsageError
from ..connection.connection import SERVER_CONFIG, h2_config
from ..connection.protocol import WireProtocol
from ..connection.registry import LAST_WORDS, Connections
from ..connection.statistics import ConnectionStatistics, ServerStatistics, Totals
from ..grpclib_internals import CodecBase, Configuration, StatusDetailsCodecBase
from ..limits import Limits
from ..protobuf.codec import ProtoCodec, StatusDetailsCodec
from .calls import CLOSING, SHUTTING_DOWN, TOO_OLD, Calls, Services
from .handshake import ConnectionHandshake, ListenerConfig, Network
from .http_pages import Pages
from .observers import Observers, ServerObserver

__all__ = ["Server"]

log = logging.getLogger(__name__)

READ_SIZE = 64 * 1024
"""Bytes of one connection that are dealt with before the others have their turn.

They may be five thousand messages, which take ten milliseconds.
"""

SAME_PORT_TRIES = 10
"""Port 0 on several addresses: how often to look for one port that is free on all of them."""


class Server(grpclib.server.Server):
    """Serves any grpclib or betterproto2 services; the API is that of `grpclib.server.Server`.

    Besides: `addresses`, `port`, `drain`, and a `close` and `wait_closed` that end also while
    clients are connected, which grpclib's do not on Python 3.12 and later.
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
        """`limits`: what one peer may cost; None for the defaults.

        `pages`: by path, what a plain GET over HTTP/2 is answered with.

        `observers`: are told of connections and calls.
        """
        super().__init__(
            handlers,
            codec=codec or ProtoCodec(),
            status_details_codec=status_details_codec or StatusDetailsCodec(),
            config=config or SERVER_CONFIG,
        )
        self._h2_config = h2_config(client_side=False)
        self._limits = limits or Limits()
        self._services = Services(
            self._mapping,
            self._codec,
            self._status_details_codec,
            self.__dispatch__,
            pages or {},
            self._limits.max_header_list_size,
            Observers(observers),
        )
        self._connections = Connections(
            self._limits.max_connections,
            self._limits.max_connections_per_address,
            self._limits.connection_rate_per_address,
        )
        self._read_buffer = memoryview(bytearray(READ_SIZE))
        self._closed = Totals()
        self._ended: Counter[str] = Counter()
        self._accepting = True
        self._listener: ListenerConfig | None = None
        self._closing = asyncio.Event()

    @property
    def limits(self) -> Limits:
        """What one peer may cost; set, it counts for connections that are made from then on."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._services = replace(self._services, max_header_list_size=limits.max_header_list_size)
        self._connections.set_limits(
            limits.max_connections,
            limits.max_connections_per_address,
            limits.connection_rate_per_address,
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every TCP socket that the server listens on."""
        sockets = getattr(self._server, "sockets", None) or ()  # uvloop has a server of its own
        names = (sock.getsockname() for sock in sockets)
        return [(name[0], name[1]) for name in names if isinstance(name, tuple)]

    @property
    def port(self) -> int:
        """The TCP port that the server listens on. Raises `UsageError` when there is none."""
        for _, port in self.addresses:
            return port
        raise UsageError("the server does not listen on a TCP port: start() it first")

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def statistics(self) -> ServerStatistics:
        """What the server has done so far, on all connections, those that are closed included."""
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
        """What each connection that is open has done so far, in the order in which they came."""
        return [connection.statistics() for connection in self._connections]

    @property
    def open_calls(self) -> int:
        """How many calls are open, on all connections."""
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
        """As grpclib's; and port 0 is one port also when `host` has several addresses.

        It listens on `host` and `port`, on a Unix socket at `path`, or on `sock`, a stream socket
        that is bound already. Raises `UsageError` unless it is exactly one of them, and
        `ListenError`, which says why, when it cannot listen.

        `ssl` may be a function that gives the context of each handshake, in which the client has
        to agree on h2 by ALPN. `proxies` are the networks from which each connection begins with a
        header of the PROXY protocol.
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
        """Stops listening and ends every open call with UNAVAILABLE; `wait_closed` waits for it.

        May be called again. Raises `RuntimeError` when the server was not started.
        """
        self._stop_accepting()
        for connection in self._connections:
            cast(Calls, connection.handler).end()
            connection.close_when_idle()
        self._abort_handshakes()
        self._closing.set()
        self._connections.wake()

    async def wait_closed(self) -> None:
        """Waits for `close`, then for connections and handlers, a second and a half at the most."""
        await self._closing.wait()
        await self._connections.all_closed(LAST_WORDS)
        self._connections.abort()
        await self._connections.all_closed(LAST_WORDS)
        if calls := set(self._services.calls):
            _, stuck = await asyncio.wait(calls, timeout=LAST_WORDS)
            if stuck:
                log.warning("%d handlers go on although they were cancelled", len(stuck))

    async def drain(self, grace: float) -> None:
        """Closes the server within `grace` seconds, and lets the open calls end by themselves.

        It stops listening at once and asks each peer, with a GOAWAY, to open new calls elsewhere.
        Those that were on their way are still served; each connection is closed after its last
        call, and before the time is over what is left ends as `close` ends it. `close`, called
        meanwhile, ends the wait.
        """
        self._stop_accepting()
        for connection in self._connections:
            connection.drain()
        self._abort_handshakes()
        await self._connections.all_closed(grace - LAST_WORDS, unless=self._closing)
        self.close()
        await self.wait_closed()

    def _stop_accepting(self) -> None:
        if self._server is None:
            raise RuntimeError("the server was not started")
        self._server.close()
        self._accepting = False

    def _abort_handshakes(self) -> None:
        for connection in self._connections.handshaking:
            connection.abort()

    def _protocol_factory(self) -> Any:
        if self._listener is None:
            return self._protocol()
        return ConnectionHandshake(
            self._listener,
            self._limits,
            self._connections,
            _Handshakes(self),
            read_buffer=self._read_buffer,
        )

    def _protocol(
        self, instead: ConnectionHandshake | None = None, extra: Mapping[str, Any] | None = None
    ) -> WireProtocol:
        calls = Calls(self._services)
        return WireProtocol(
            calls,
            self._config,
            self._h2_config,
            self._limits,
            read_buffer=self._read_buffer,
            fair_share=self._connections.fair_share,
            on_open=partial(self._connection_opened, instead),
            on_close=self._connection_closed,
            on_last_call=lambda: calls.refuse(CLOSING if self._accepting else SHUTTING_DOWN),
            on_too_old=lambda: calls.end(TOO_OLD),
            extra=extra,
        )

    def _connection_opened(
        self, instead: ConnectionHandshake | None, connection: WireProtocol, address: str | None
    ) -> bool:
        if instead is not None:
            self._connections.replace(instead, connection)
        elif not self._admit(connection, address):
            return False
        self._services.observers.connection_opened(address)
        return True

    def _admit(self, connection: ConnectionHandshake | WireProtocol, address: str | None) -> bool:
        # It may have been in the backlog when the server stopped listening.
        if self._accepting and self._connections.add(connection, address):
            return True
        self._services.observers.connection_refused(address)
        return False

    def _connection_closed(self, connection: WireProtocol) -> None:
        self._connections.discard(connection)
        statistics = connection.statistics()
        connection.add_to(self._closed)
        if connection.ended_by is not None:
            self._ended[connection.ended_by] += 1
        self._services.observers.connection_closed(statistics, connection.ended_by)


class _Handshakes:
    """Gives `ConnectionHandshake` access to the connections of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def admit(self, handshake: ConnectionHandshake, address: str | None) -> bool:
        return self._server._admit(handshake, address)

    def begin_http2(self, handshake: ConnectionHandshake, extra: Mapping[str, Any]) -> WireProtocol:
        return self._server._protocol(handshake, extra)

    def handshake_failed(self, reason: str) -> None:
        self._server._ended[reason] += 1

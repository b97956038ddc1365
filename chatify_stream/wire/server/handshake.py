"""A connection of a server before HTTP/2 begins: the PROXY protocol, and the handshake of TLS.

It counts for the limits on connections from its first moment, and has `handshake_timeout` for all
of this. First comes the header of the PROXY protocol, if one is due; then the handshake, if the
port takes TLS; then the `WireProtocol` takes its place, and it is gone.

A header is due on connections of trusted proxies, and of those on Unix sockets, which the file's
permissions let in. It is never read from others: whoever they say they are, they are themselves.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from ..connection.protocol import WireProtocol, ip_address_of
from ..connection.registry import LAST_WORDS, Connections
from ..http2.first_bytes import HTTP_1_REPLY, TLS_HANDSHAKE, describe_first_bytes, plaintext_reply
from ..http2.keepalive import Verdict
from ..limits import Limits
from ..tls.errors import tls_reason
from ..tls.transport import TLSTransport
from .proxy_protocol import ProxyHeaderError, read_proxy_header

__all__ = ["ConnectionHandshake", "ListenerConfig", "Network", "WireFactory"]

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ListenerConfig:
    """What stands before HTTP/2 on a port."""

    context: Callable[[], ssl.SSLContext] | None
    """For TLS: that of the next handshake."""

    protocols: Collection[str | None] = ("h2",)
    """What the handshake may have agreed on by ALPN; None for nothing."""

    proxies: Collection[Network] | None = None
    """Those that send a header of the PROXY protocol; None when nobody does."""

    @classmethod
    def of(
        cls,
        ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None,
        proxies: Collection[Network] | None,
    ) -> ListenerConfig | None:
        """None when HTTP/2 begins at once, which then costs nothing."""
        if ssl_context is None and proxies is None:
            return None
        if isinstance(ssl_context, ssl.SSLContext):
            context = ssl_context
            # Whoever made it may not have set what ALPN offers.
            return cls(lambda: context, ("h2", None), proxies)
        return cls(ssl_context, proxies=proxies)

    def is_proxy(self, address: str | None) -> bool:
        """Whether a header is due from an IP address, or (None) on a Unix socket."""
        if self.proxies is None or address is None:
            return self.proxies is not None
        ip = ipaddress.ip_address(address.partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.proxies)


class WireFactory(Protocol):
    """Makes what serves a connection that is `instead` of one that is accepted."""

    def __call__(self, instead: ConnectionHandshake, extra: Mapping[str, Any]) -> WireProtocol: ...


class ConnectionHandshake(asyncio.BufferedProtocol):
    """One connection, until HTTP/2 begins."""

    def __init__(
        self,
        listener: ListenerConfig,
        limits: Limits,
        connections: Connections,
        *,
        read_buffer: memoryview,
        on_open: Callable[[ConnectionHandshake, str | None], bool],
        make: WireFactory,
        on_ended: Callable[[str], None],
    ) -> None:
        """`on_open` puts it into `connections`, with its IP address, if there is room.

        What is made takes its place there. `on_ended` learns why this side has ended it.
        """
        self._listener = listener
        self._limits = limits
        self._connections = connections
        self._read_buffer = read_buffer
        self._on_open = on_open
        self._make = make
        self._on_ended = on_ended
        self._received = b""
        self._extra: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._address = ip_address_of(self._transport)
        self._is_header_due = self._listener.is_proxy(self._address)
        # A proxy is not counted as the client that it speaks for.
        if not self._on_open(self, None if self._is_header_due else self._address):
            self.abort()
        elif self._limits.handshake_timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.handshake_timeout, self._too_late)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_over:
            return
        self._received += self._read_buffer[:nbytes]
        if self._is_header_due and not self._read_header():
            return
        if self._listener.context is None:
            self._enter(self._transport)
        elif self._received:
            self._begin_tls(self._listener.context)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_over = True
        self._stop_timer()
        self._connections.discard(self)

    def abort(self) -> None:
        """Closes the connection now."""
        self._is_over = True
        self._transport.abort()

    def _too_late(self) -> None:
        self._timer = None
        if not self._is_over:
            missing = "PROXY protocol header" if self._is_header_due else "TLS handshake"
            log.info(
                "aborting connection from %s: no %s within handshake_timeout",
                self._address,
                missing,
            )
            self._on_ended(Verdict.HANDSHAKE_TIMEOUT.ended_by)
        self.abort()

    def _read_header(self) -> bool:
        """Whether the connection goes on, from and to where the header says."""
        try:
            header = read_proxy_header(self._received)
        except ProxyHeaderError as error:
            log.warning("the PROXY protocol header of %s is wrong: %s", self._address, error)
            self._on_ended("proxy_protocol")
            self.abort()
            return False
        if header is None:
            return False
        self._is_header_due = False
        self._received = self._received[header.size :]
        if header.peer is not None:
            self._extra = {"peername": header.peer, "sockname": header.local}
            self._address = None if isinstance(header.peer, str) else header.peer[0]
        if not self._connections.set_address(self, self._address):
            self.abort()
            return False
        return True

    def _begin_tls(self, context: Callable[[], ssl.SSLContext]) -> None:
        received, self._received = self._received, b""
        if received[0] != TLS_HANDSHAKE:
            what = describe_first_bytes(received)
            log.warning("%s came to a port that takes TLS, and began with %s", self._address, what)
            self._end("no_tls", plaintext_reply(received))
            return
        tls = TLSTransport(
            self._transport,
            context(),
            read_buffer=self._read_buffer,
            on_secure=self._secure,
            on_failed=self._tls_failed,
            on_lost=partial(self.connection_lost, None),
        )
        self._transport.set_protocol(tls)
        tls.receive(received)

    def _secure(self, tls: TLSTransport) -> None:
        if tls.application_protocol in self._listener.protocols:
            self._enter(tls)
            return
        log.warning("%s did not agree on h2 by ALPN, as gRPC over TLS does", self._address)
        tls.write(HTTP_1_REPLY)
        tls.write_eof()
        self._end("no_alpn")

    def _tls_failed(self, error: ssl.SSLError) -> None:
        log.warning("the handshake of TLS with %s failed: %s", self._address, tls_reason(error))
        self._end("tls_failed")

    def _end(self, reason: str, last_words: bytes = b"") -> None:
        """Closes the connection so that its peer sees why: what it still sends is thrown away."""
        self._is_over = True
        self._on_ended(reason)
        if last_words:
            self._transport.write(last_words)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(LAST_WORDS, self.abort)

    def _enter(self, transport: asyncio.Transport) -> None:
        """HTTP/2 begins, on this connection or on what TLS makes of it."""
        self._stop_timer()
        self._is_over = True
        protocol = self._make(self, self._extra)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._received:
            protocol.data_received(self._received)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

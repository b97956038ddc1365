"""Connections before HTTP/2 begins: PROXY protocol header and TLS handshake.

A connection counts for the limits on connections from the moment it is accepted, and
`handshake_timeout` covers everything here. The PROXY protocol header comes first if the peer sends
one, then the TLS handshake if the port uses TLS. Then a `WireProtocol` replaces the
`ConnectionHandshake`.

A PROXY header is expected on connections from trusted proxies and on Unix sockets, where the
permissions of the file decide who may connect. From other peers it is never accepted, because a
client could claim any address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ...limits import Limits
from ..connection.protocol import WireProtocol, ip_address_of
from ..connection.registry import Connections
from ..connection.write_buffer import LINGER_TIMEOUT
from ..http2.first_bytes import HTTP_1_REPLY, TLS_HANDSHAKE, describe_first_bytes, plaintext_reply
from ..http2.keepalive import Verdict
from ..tls.contexts import tls_reason
from ..tls.transport import TLSTransport
from .proxy_protocol import ProxyHeaderError, read_proxy_header

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ListenerConfig:
    """The steps that a port requires before HTTP/2."""

    context: Callable[[], ssl.SSLContext] | None
    """Returns the TLS context of the next handshake. None: no TLS."""
    protocols: Collection[str | None] = ("h2",)
    """Results of ALPN that are accepted. None stands for a client without ALPN."""
    proxies: Collection[Network] | None = None
    """Networks of proxies that send a PROXY protocol header. None: no proxy does."""

    @classmethod
    def of(
        cls,
        ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None,
        proxies: Collection[Network] | None,
    ) -> ListenerConfig | None:
        """Return the configuration, or None if HTTP/2 begins immediately."""
        if ssl_context is None and proxies is None:
            return None
        if isinstance(ssl_context, ssl.SSLContext):
            context = ssl_context
            # The caller made the context and may not have set its ALPN protocols.
            return cls(lambda: context, ("h2", None), proxies)
        return cls(ssl_context, proxies=proxies)

    def is_proxy(self, address: str | None) -> bool:
        """Return True if a header is expected from this IP address. None: a Unix socket."""
        if self.proxies is None or address is None:
            return self.proxies is not None
        ip = ipaddress.ip_address(address.partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.proxies)


class HandshakeOwner(Protocol):
    """Receives the outcome of a handshake."""

    def admit(self, handshake: ConnectionHandshake, address: str | None) -> bool:
        """Add the connection to the registry. Return False if a limit is reached."""

    def begin_http2(self, handshake: ConnectionHandshake, extra: Mapping[str, Any]) -> WireProtocol:
        """Return the protocol that replaces the handshake, also in the registry.

        `extra` has precedence over the `get_extra_info` of the transport.
        """

    def handshake_failed(self, reason: str) -> None:
        """Count a connection that this side ended. `reason` is its name in the statistics."""


@dataclass(eq=False, repr=False)
class ConnectionHandshake(asyncio.BufferedProtocol):
    """One connection until HTTP/2 begins."""

    _listener: ListenerConfig
    _limits: Limits
    _connections: Connections
    _owner: HandshakeOwner
    read_buffer: memoryview
    _received: bytes = b""
    _extra: dict[str, Any] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _is_over: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._address = ip_address_of(self._transport)
        self._is_header_due = self._listener.is_proxy(self._address)
        # Connections of a proxy count for the addresses of its clients.
        if not self._owner.admit(self, None if self._is_header_due else self._address):
            self.abort()
        elif self._limits.handshake_timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.handshake_timeout, self._time_out)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_over:
            return
        self._received += self.read_buffer[:nbytes]
        if self._is_header_due and not self._read_header():
            return
        if self._listener.context is None:
            self._begin_http2(self._transport)
        elif self._received:
            self._begin_tls(self._listener.context)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_over = True
        self._stop_timer()
        self._connections.discard(self)

    def abort(self) -> None:
        self._is_over = True
        self._transport.abort()

    def _time_out(self) -> None:
        self._timer = None
        if not self._is_over:
            missing = "PROXY protocol header" if self._is_header_due else "TLS handshake"
            text = "aborting connection from %s: no %s within handshake_timeout"
            log.info(text, self._address, missing)
            self._owner.handshake_failed(Verdict.HANDSHAKE_TIMEOUT.ended_by)
        self.abort()

    def _read_header(self) -> bool:
        """Read the PROXY header and apply its addresses. Return False if that ends here."""
        try:
            header = read_proxy_header(self._received)
        except ProxyHeaderError as error:
            log.warning("invalid PROXY protocol header from %s: %s", self._address, error)
            self._owner.handshake_failed("proxy_protocol")
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
            text = "%s connected without TLS to a TLS port; first bytes: %s"
            log.warning(text, self._address, describe_first_bytes(received))
            self._end("no_tls", plaintext_reply(received))
            return
        tls = TLSTransport(self._transport, context(), self, read_buffer=self.read_buffer)
        self._transport.set_protocol(tls)
        tls.receive(received)

    def tls_established(self, tls: TLSTransport) -> None:
        if tls.application_protocol in self._listener.protocols:
            self._begin_http2(tls)
            return
        text = "%s did not negotiate h2 with ALPN, which gRPC over TLS requires"
        log.warning(text, self._address)
        tls.write(HTTP_1_REPLY)
        tls.write_eof()
        self._end("no_alpn")

    def tls_failed(self, error: ssl.SSLError) -> None:
        log.warning("TLS handshake with %s failed: %s", self._address, tls_reason(error))
        self._end("tls_failed")

    def tls_lost(self) -> None:
        self.connection_lost(None)

    def _end(self, reason: str, reply: bytes = b"") -> None:
        """Send the reply and linger: closing with unread data would reset the connection first."""
        self._is_over = True
        self._owner.handshake_failed(reason)
        if reply:
            self._transport.write(reply)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(LINGER_TIMEOUT, self.abort)

    def _begin_http2(self, transport: asyncio.Transport) -> None:
        """Replace this protocol with HTTP/2, on the connection itself or on TLS."""
        self._stop_timer()
        self._is_over = True
        protocol = self._owner.begin_http2(self, self._extra)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._received:
            protocol.data_received(self._received)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

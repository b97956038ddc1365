"""TLS of one server connection, between its transport and its protocol.

`TLSTransport` is a transport for the protocol above it and a protocol for the transport below it.
asyncio's own implementation takes 256 KiB of buffers a connection, cannot be given data that was
already read, and sends no alert or GOAWAY to a peer that keeps sending while it is rejected.

States: handshake, then open, then over. Data received when it is over is discarded. Received data
is delivered before `buffer_updated` returns. It passes through OpenSSL in small chunks, because
OpenSSL's buffers never shrink.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Protocol, cast

CHUNK_SIZE = 16 * 1024
"""Bytes passed through OpenSSL at once: the size of the largest TLS record."""
MAX_UNREAD_REPLIES = 4096
"""Bytes of replies (to key updates, for example) buffered for a peer that does not read."""


class TLSOwner(Protocol):
    """Receives the outcome of a TLS handshake. Exactly one method is called, once."""

    def tls_established(self, tls: TLSTransport) -> None:
        """The handshake is complete. Must call `set_protocol` or `write_eof`."""

    def tls_failed(self, error: ssl.SSLError) -> None:
        """The handshake failed. The peer has been sent an alert."""

    def tls_lost(self) -> None:
        """The connection was lost."""


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """A TLS connection that starts with the handshake, as the server."""

    def __init__(
        self,
        transport: asyncio.Transport,
        context: ssl.SSLContext,
        owner: TLSOwner,
        *,
        read_buffer: memoryview,
    ) -> None:
        """The caller sets it as the protocol of `transport` and passes it data already read."""
        super().__init__()
        self._transport = transport
        self._read_buffer = read_buffer
        self._owner = owner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_secure = False
        self._is_over = False
        self._is_blocked = False
        self._unread_replies = 0
        self._protocol: asyncio.Protocol | None = None

    @property
    def application_protocol(self) -> str | None:
        """The protocol negotiated with ALPN (RFC 7301), or None."""
        return self._tls.selected_alpn_protocol()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.receive(self._read_buffer[:nbytes])

    def receive(self, data: bytes | memoryview) -> None:
        received: list[bytes] = []
        has_ended = False
        try:
            for start in range(0, len(data), CHUNK_SIZE):
                if self._is_over:
                    return
                self._incoming.write(data[start : start + CHUNK_SIZE])
                if self._is_secure or self._shake_hands():
                    has_ended = self._read_into(received)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if reply := self._outgoing.read():
            self._write_reply(reply)
        if received and self._protocol is not None:
            self._protocol.data_received(b"".join(received))
        if has_ended:
            self.close()

    def _shake_hands(self) -> bool:
        """Continue the handshake. Return True when data may be read."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._is_secure = True
        self._transport.write(self._outgoing.read())
        self._owner.tls_established(self)
        return not self._is_over

    def _read_into(self, received: list[bytes]) -> bool:
        """Append decrypted data to `received`. Return True if the peer has closed TLS."""
        try:
            while data := self._tls.read(CHUNK_SIZE):
                received.append(data)
        except ssl.SSLWantReadError:
            return False
        return True

    def _write_reply(self, reply: bytes) -> None:
        self._transport.write(reply)
        if self._is_blocked:
            self._unread_replies += len(reply)
            if self._unread_replies > MAX_UNREAD_REPLIES:
                self.abort()

    def _fail(self, error: ssl.SSLError) -> None:
        """Send the alert that OpenSSL has written, then close."""
        self._is_over = True
        self._transport.write(self._outgoing.read())
        if self._is_secure:
            self._transport.close()
        else:
            self._owner.tls_failed(error)

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._unread_replies = 0
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_over = True
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(cast(Exception, exc))
        else:
            self._owner.tls_lost()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: Any) -> None:
        if self._is_over:
            return
        sealed = []
        for start in range(0, len(data), CHUNK_SIZE):
            self._tls.write(data[start : start + CHUNK_SIZE])
            sealed.append(self._outgoing.read())
        self._transport.write(b"".join(sealed))

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Close the sending side. Received data is discarded from now on, too."""
        self._send_close_notify()
        self._transport.write_eof()

    def close(self) -> None:
        self._send_close_notify()
        self._transport.close()

    def _send_close_notify(self) -> None:
        if not self._is_over:
            self._is_over = True
            with suppress(ssl.SSLError):  # the peer has not sent its close_notify yet
                self._tls.unwrap()
            self._transport.write(self._outgoing.read())

    def abort(self) -> None:
        self._is_over = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default)

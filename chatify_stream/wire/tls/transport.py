"""TLS of one connection of a server, between its transport and its protocol.

To the protocol above it is a transport, to the transport below it is a protocol. asyncio's own
would do, but for 256 KiB of buffer a connection, no way to hand it what was read already, and no
alert or GOAWAY for a peer that goes on sending while it is refused.

Rules: first the handshake; then data goes both ways; then it is over, and what still comes is
thrown away. What is received is delivered before `buffer_updated` returns; little of it is in
OpenSSL's buffers at a time, since those never shrink.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

__all__ = ["TLSTransport"]

PORTION = 16 * 1024
"""Bytes that pass through OpenSSL at a time: those of its largest record."""

MOST_ANSWERS = 4096
"""Bytes of answers to a peer that changes its keys again and again, and does not read them."""


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """Begins with the handshake, as the server."""

    def __init__(
        self,
        transport: asyncio.Transport,
        context: ssl.SSLContext,
        *,
        read_buffer: memoryview,
        on_secure: Callable[[TLSTransport], None],
        on_failed: Callable[[ssl.SSLError], None],
        on_lost: Callable[[], None],
    ) -> None:
        """It has to become the protocol of `transport`, and be given what was read already.

        One of three is called once: `on_secure` when the handshake is done, where `set_protocol`
        is due; `on_failed`, when the peer has been told why; `on_lost`.
        """
        super().__init__()
        self._transport = transport
        self._read_buffer = read_buffer
        self._on_secure = on_secure
        self._on_failed = on_failed
        self._on_lost = on_lost
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_secure = False
        self._is_over = False
        self._is_blocked = False
        self._answers = 0
        self._protocol: asyncio.Protocol | None = None

    @property
    def application_protocol(self) -> str | None:
        """What the handshake has agreed on (ALPN, RFC 7301)."""
        return self._tls.selected_alpn_protocol()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.receive(self._read_buffer[:nbytes])

    def receive(self, data: bytes | memoryview) -> None:
        """Takes what the peer has sent."""
        received: list[bytes] = []
        has_ended = False
        try:
            for start in range(0, len(data), PORTION):
                if self._is_over:
                    return
                self._incoming.write(data[start : start + PORTION])
                if self._is_secure or self._shake_hands():
                    has_ended = self._read_into(received)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if answer := self._outgoing.read():
            self._answer(answer)
        if received and self._protocol is not None:
            self._protocol.data_received(b"".join(received))
        if has_ended:
            self.close()

    def _shake_hands(self) -> bool:
        """Whether the handshake is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._is_secure = True
        self._transport.write(self._outgoing.read())
        self._on_secure(self)
        return not self._is_over

    def _read_into(self, received: list[bytes]) -> bool:
        """Whether the peer has said that nothing more comes."""
        try:
            while data := self._tls.read(PORTION):
                received.append(data)
        except ssl.SSLWantReadError:
            return False
        return True

    def _answer(self, answer: bytes) -> None:
        self._transport.write(answer)
        if self._is_blocked:
            self._answers += len(answer)
            if self._answers > MOST_ANSWERS:
                self.abort()

    def _fail(self, error: ssl.SSLError) -> None:
        """OpenSSL has made an alert, which the peer gets before the connection is closed."""
        self._is_over = True
        self._transport.write(self._outgoing.read())
        if self._is_secure:
            self._transport.close()
        else:
            self._on_failed(error)

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._answers = 0
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_over = True
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(cast(Exception, exc))
        else:
            self._on_lost()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: Any) -> None:
        if self._is_over:
            return
        sealed = []
        for start in range(0, len(data), PORTION):
            self._tls.write(data[start : start + PORTION])
            sealed.append(self._outgoing.read())
        self._transport.write(b"".join(sealed))

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Nothing is received from then on, either."""
        self._say_goodbye()
        self._transport.write_eof()

    def close(self) -> None:
        self._say_goodbye()
        self._transport.close()

    def _say_goodbye(self) -> None:
        if not self._is_over:
            self._is_over = True
            with suppress(ssl.SSLError):  # the peer has not said goodbye yet
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

"""Recognise other protocols by the first bytes of a connection, and answer them. No I/O.

People point HTTP/1 clients, plaintext clients and TLS clients at the wrong port. The reply tells
them so in their own protocol where that is possible.
"""

from __future__ import annotations

import re

from h2.errors import ErrorCodes

from .frame_types import PREFACE, SETTINGS, frame_header, goaway

TLS_HANDSHAKE = 22
"""The first byte of every connection over TLS (RFC 8446, 5.1)."""

PROXY_LINE_START = b"PROXY "
PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""The first bytes of the PROXY protocol, versions 1 and 2."""

PREFACE_LINE = PREFACE[:14]
HTTP_1 = re.compile(rb"[A-Z]{3,16} [!-~]")
SHOWN_BYTES = 4
"""Enough to recognise a protocol, too few to contain a secret."""

TLS_ONLY = "this port requires TLS"


def describe_first_bytes(data: bytes) -> str:
    """Return the name of the protocol, or the first four bytes if it is unknown."""
    if re.match(rb"\x16\x03[\0-\4]", data):
        return "TLS"
    if data.startswith((PROXY_LINE_START, PROXY_SIGNATURE)):
        return "a PROXY protocol header"
    if data.startswith(PREFACE_LINE):
        return "HTTP/2 without TLS"
    if HTTP_1.match(data):
        return "HTTP/1"
    return f"{data[:SHOWN_BYTES]!r}"


def plaintext_reply(data: bytes) -> bytes:
    """Return the reply of a TLS port to a client without TLS; empty for an unknown protocol."""
    if data.startswith(PREFACE_LINE):
        return frame_header(0, SETTINGS, 0, 0) + goaway(0, ErrorCodes.INADEQUATE_SECURITY, TLS_ONLY)
    if HTTP_1.match(data):
        return _page("400 Bad Request", f"{TLS_ONLY}: use https, or a gRPC client with TLS")
    return b""


def _page(status: str, text: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(text) + 1}\r\n"
        f"connection: close\r\n\r\n{text}\n"
    ).encode()


HTTP_1_REPLY = _page("505 HTTP Version Not Supported", "this port speaks HTTP/2 only (gRPC)")
"""The reply over TLS to a client that did not negotiate HTTP/2 with ALPN."""

"""What the first bytes of a connection are when they are not what its port takes. No I/O."""

from __future__ import annotations

import re

from h2.errors import ErrorCodes

from ..server.proxy_protocol import LINE_START, SIGNATURE
from .frame_types import PREFACE, SETTINGS, frame_header, goaway

__all__ = ["HTTP_1_REPLY", "TLS_HANDSHAKE", "describe_first_bytes", "plaintext_reply"]

TLS_HANDSHAKE = 22
"""The first byte of every connection over TLS (RFC 8446, 5.1)."""

PREFACE_LINE = PREFACE[:14]
HTTP_1 = re.compile(rb"[A-Z]{3,16} [!-~]")
SHOWN = 4
"""Bytes of a protocol that is not known."""

TLS_ONLY = "this port takes TLS only"

_PAGE = """\
HTTP/1.1 {status}\r
content-type: text/plain\r
content-length: {length}\r
connection: close\r
\r
{text}
"""


def describe_first_bytes(data: bytes) -> str:
    """What they are. Of what is not known no more is shown than names a protocol: no secrets."""
    if re.match(rb"\x16\x03[\0-\4]", data):
        return "TLS"
    if data.startswith((LINE_START, SIGNATURE)):
        return "a PROXY protocol header"
    if data.startswith(PREFACE_LINE):
        return "HTTP/2 in the clear"
    if HTTP_1.match(data):
        return "HTTP/1"
    return f"{data[:SHOWN]!r}"


def plaintext_reply(data: bytes) -> bytes:
    """What a client without TLS may understand, of a port that takes nothing else."""
    if data.startswith(PREFACE_LINE):
        return frame_header(0, SETTINGS, 0, 0) + goaway(0, ErrorCodes.INADEQUATE_SECURITY, TLS_ONLY)
    if HTTP_1.match(data):
        return _page("400 Bad Request", f"{TLS_ONLY}: use https, or a client of gRPC with TLS")
    return b""


def _page(status: str, text: str) -> bytes:
    return _PAGE.format(status=status, length=len(text) + 1, text=text).encode()


HTTP_1_REPLY = _page("505 HTTP Version Not Supported", "this port speaks HTTP/2 only, for gRPC")
"""For a client that has not agreed on HTTP/2 by ALPN."""

"""The numbers of HTTP/2 frames (RFC 9113, 6 and 7), and any frame made of them.

They are written down a second time here: a test that took them from the package would not notice a
wrong one.
"""

from __future__ import annotations

import struct

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "PADDED",
    "PING",
    "PRIORITY",
    "PRIORITY_UPDATE",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "UNKNOWN",
    "WINDOW_UPDATE",
    "frame",
]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
PRIORITY_UPDATE = 0x10
UNKNOWN = 0xBE
"""A type that no RFC defines."""

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    """Return an HTTP/2 frame of any type, flags and stream."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream_id) + body

"""HTTP/2 frame types, flags, headers and small frames (RFC 9113, 4 and 6)."""

from __future__ import annotations

import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING = 0, 1, 3, 4, 5, 6
GOAWAY, WINDOW_UPDATE, CONTINUATION = 7, 8, 9

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PREFACE_SIZE = len(PREFACE)
HEADER_SIZE = 9
FRAME_KIND = 3
"""Offset of the type in a frame header."""
STREAM_BITS = 0x7FFFFFFF

_HEADER = struct.Struct(">HBBBL")
GOAWAY_BODY = struct.Struct(">LL")
_WINDOW_UPDATE_BODY = struct.Struct(">L")

read_frame_header = _HEADER.unpack_from
"""Unpack a frame header from a buffer and offset: high and low length, type, flags, stream id."""
pack_frame_header = _HEADER.pack
"""Pack these five parts of a frame header."""


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    return frame_header(4, WINDOW_UPDATE, 0, stream_id) + _WINDOW_UPDATE_BODY.pack(increment)


def goaway(last_stream_id: int, error_code: int, reason: str = "") -> bytes:
    """Return a GOAWAY frame with `reason` as its debug data."""
    text = reason.encode("ascii", "backslashreplace")
    body = GOAWAY_BODY.pack(last_stream_id, error_code) + text
    return frame_header(len(body), GOAWAY, 0, 0) + body


def ping(data: bytes, flags: int = 0) -> bytes:
    """Return a PING frame with 8 bytes of `data`; the flag ACK makes it an answer."""
    return frame_header(8, PING, flags, 0) + data

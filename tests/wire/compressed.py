"""Compressed messages, made and read by Python's own libraries."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable

from chatify_stream.wire import Cardinality

from .raw import framed
from .services import Answer, Ask

__all__ = ["ALGORITHMS", "LIMIT", "LONG", "NAMES", "STREAM_STREAM", "compressed", "messages_in"]

LIMIT = 10_000
ALGORITHMS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "deflate": (zlib.compress, zlib.decompress),
    "gzip": (gzip.compress, gzip.decompress),
}
NAMES = list(ALGORITHMS)
LONG = "Ada " * 1000
STREAM_STREAM = (Cardinality.STREAM_STREAM, Ask, Answer)


def messages_in(frames: bytes) -> list[tuple[int, bytes]]:
    """Return the compressed flag and the bytes of each message."""
    found = []
    while frames:
        flag, size = struct.unpack_from(">BI", frames)
        assert len(frames) >= 5 + size
        found.append((flag, frames[5 : 5 + size]))
        frames = frames[5 + size :]
    return found


def compressed(message: Ask | Answer, encoding: str) -> bytes:
    return framed(ALGORITHMS[encoding][0](bytes(message)), compressed=True)

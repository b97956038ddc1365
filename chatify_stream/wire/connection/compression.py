"""Messages as they go on the wire: a prefix, and what follows it, compressed or not. No I/O.

Rules: https://github.com/grpc/grpc/blob/master/doc/compression.md. grpclib has no compression.

`deflate` is the zlib format (RFC 1950) and `gzip` one member of a gzip file (RFC 1952). Each
message is compressed by itself, and only where that makes it smaller; a message that is inflated
never takes more memory than the largest message allowed.
"""

from __future__ import annotations

import struct
import zlib

from grpclib.const import Status

from ...errors import StatusError, UsageError

__all__ = [
    "ENCODINGS",
    "IDENTITY",
    "PREFIX",
    "check_encoding",
    "compress_frames",
    "frame",
    "frame_prefix",
    "inflate",
    "is_accepted",
]

PREFIX = struct.Struct(">BL")
"""Before each message: whether it is compressed, and its size."""

IDENTITY = "identity"

_WINDOW_BITS = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}

_NAMES = (IDENTITY, *_WINDOW_BITS)

ENCODINGS = ",".join(_NAMES)
"""What both sides can read, as `grpc-accept-encoding` has it."""

LEVEL = 1
"""The default level takes twice the time, in which no other call is served, to save a tenth."""


def frame(data: bytes) -> bytes:
    """A message as it goes on the wire."""
    return frame_prefix(len(data)) + data


def frame_prefix(size: int) -> bytes:
    """What goes before a message of so many bytes."""
    return PREFIX.pack(0, size)


def check_encoding(name: str) -> str:
    """The name of an encoding, as it is. Raises `UsageError` for one that is not known."""
    if name not in _NAMES:
        raise UsageError(f"there is no compression {name!r}; there are {', '.join(_NAMES)}")
    return name


def is_accepted(name: str, accept_encoding: str) -> bool:
    """Whether a peer that sent this `grpc-accept-encoding` can read the encoding."""
    return name in map(str.strip, accept_encoding.split(","))


def compress_frames(frames: bytes, encoding: str) -> bytes:
    """The same messages, which `frame` made, each compressed if that makes it smaller."""
    parts: list[bytes] = []
    position, end = 0, len(frames)
    while position < end:
        _, size = PREFIX.unpack_from(frames, position)
        start, position = position, position + PREFIX.size + size
        message = frames[start + PREFIX.size : position]
        short = zlib.compress(message, LEVEL, _WINDOW_BITS[encoding])
        if len(short) < size:
            parts += (PREFIX.pack(1, len(short)), short)
        else:
            parts.append(frames[start:position])
    return b"".join(parts)


def inflate(data: bytes, encoding: str, max_size: int) -> bytes:
    """The message that was compressed, of at most `max_size` bytes.

    Raises `StatusError`: RESOURCE_EXHAUSTED as soon as it turns out to be larger, INTERNAL for
    what the encoding does not allow.
    """
    if encoding == IDENTITY:
        raise _invalid("is flagged as compressed, but the call has no grpc-encoding for it")
    if encoding not in _WINDOW_BITS:
        raise _invalid(f"is compressed with {encoding!r}; accepted are {ENCODINGS}")
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        message = inflater.decompress(data, max_size + 1)
    except zlib.error as error:
        raise _invalid(f"is not valid {encoding}: {error}") from error
    if len(message) > max_size:
        raise StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the message has more than {max_size} bytes when it is inflated; "
            f"at most {max_size} are allowed",
        )
    if not inflater.eof:
        raise _invalid(f"is not valid {encoding}: it ends too early")
    if inflater.unused_data:
        raise _invalid(
            f"is not valid {encoding}: it has {len(inflater.unused_data)} bytes after its end"
        )
    return message


def _invalid(what: str) -> StatusError:
    return StatusError(Status.INTERNAL, f"the message {what}")

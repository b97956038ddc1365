"""Frame, compress and inflate gRPC messages. No I/O.

See https://github.com/grpc/grpc/blob/master/doc/compression.md. grpclib does not compress.

`deflate` is the zlib format (RFC 1950), `gzip` a single member of a gzip file (RFC 1952). Each
message is compressed separately, and only if that makes it smaller. Inflating a message never takes
more memory than the maximum message size.
"""

from __future__ import annotations

import struct
import zlib

from grpclib.const import Status

from ...errors import StatusError, UsageError

PREFIX = struct.Struct(">BL")
"""The prefix of each message: the compressed flag and the size."""
IDENTITY = "identity"
_WINDOW_BITS = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}
_NAMES = (IDENTITY, *_WINDOW_BITS)
ENCODINGS = ",".join(_NAMES)
"""The supported encodings, in the form of `grpc-accept-encoding`."""
LEVEL = 1
"""The default level of zlib blocks the event loop twice as long and saves a tenth more."""


def frame(data: bytes) -> bytes:
    """Return an uncompressed message with its prefix."""
    return frame_prefix(len(data)) + data


def frame_prefix(size: int) -> bytes:
    """Return the prefix of an uncompressed message of `size` bytes."""
    return PREFIX.pack(0, size)


def check_encoding(name: str) -> str:
    """Return the name of an encoding. Raises `UsageError` if it is not supported."""
    if name not in _NAMES:
        raise UsageError(f"compression: {name!r} is not supported; use one of {', '.join(_NAMES)}")
    return name


def is_accepted(name: str, accept_encoding: str) -> bool:
    """Return True if the `grpc-accept-encoding` of the peer contains the encoding."""
    return name in map(str.strip, accept_encoding.split(","))


def compress_frames(frames: bytes, encoding: str) -> bytes:
    """Compress each message in a series of frames, if that makes it smaller."""
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
    """Return the decompressed message.

    Raises `StatusError`: RESOURCE_EXHAUSTED if the message is larger than `max_size` bytes, as soon
    as that is known; INTERNAL if the data is not valid for the encoding.
    """
    if encoding == IDENTITY:
        raise _invalid("is flagged as compressed, but the call has no grpc-encoding")
    if encoding not in _WINDOW_BITS:
        raise _invalid(f"is compressed with {encoding!r}; supported are {ENCODINGS}")
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        message = inflater.decompress(data, max_size + 1)
    except zlib.error as error:
        raise _invalid(f"is not valid {encoding}: {error}") from error
    if len(message) > max_size:
        raise StatusError(
            Status.RESOURCE_EXHAUSTED,
            f"the decompressed message has more than {max_size} bytes; "
            f"at most {max_size} are allowed",
        )
    if not inflater.eof:
        raise _invalid(f"is not valid {encoding}: it is truncated")
    if inflater.unused_data:
        raise _invalid(f"is not valid {encoding}: {len(inflater.unused_data)} bytes follow its end")
    return message


def _invalid(problem: str) -> StatusError:
    return StatusError(Status.INTERNAL, f"the message {problem}")

"""What DATA carries, right and wrong: gRPC's prefixes, compressed bytes, and protobuf."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from random import Random

from ..wire.raw import framed
from .blocks import spoiled

__all__ = ["TEXTS", "chat_message", "packed", "wild_compressed", "wild_message", "wild_prefixes"]

TEXTS = ("", "Ada", "世界", "x" * 127, "x" * 128, "{name}", "\x00", "x" * 3000, "x" * 17_000)

SIZES = (0, 1, 4, 5, 64, 65, 200, 2**16, 4 * 2**20, 4 * 2**20 + 1, 2**31, 2**32 - 1)


def varint(value: int) -> bytes:
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def chat_message(text: str) -> bytes:
    """ChatReq or ChatRsp: they have the same shape."""
    data = text.encode()
    return b"\x0a" + varint(len(data)) + data if data else b""


def packed(data: bytes, encoding: bytes) -> bytes:
    """The bytes in a compression, with a prefix that says so."""
    short = gzip.compress(data, 1, mtime=0) if encoding == b"gzip" else zlib.compress(data, 1)
    return framed(short, compressed=True)


def wild_prefixes(chance: Random) -> bytes:
    """Messages whose prefixes may not be true."""
    parts = []
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        data = chat_message(chance.choice(TEXTS))
        match chance.randrange(6):
            case 0:
                flag = chance.choice((0, 1, 2, 0x80, 255))
                parts.append(bytes([flag]) + chance.choice(SIZES).to_bytes(4, "big") + data)
            case 1:
                parts.append(framed(data, compressed=True))
            case 2:
                parts.append(framed(data)[: chance.randrange(len(data) + 6)])
            case 3:
                parts.append(bytes(chance.choice((1, 4, 5, 10, 1000))))
            case _:
                parts.append(framed(data))
    return b"".join(parts)


def wild_compressed(encoding: bytes, chance: Random) -> bytes:
    """Compressed messages that are cut, spoiled, too large, too many, or of another kind."""
    parts = []
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chat_message(chance.choice(TEXTS))
        whole = packed(data, encoding)[5:]
        short = {
            0: lambda whole=whole: spoiled(whole, chance),
            1: lambda whole=whole: whole[: chance.randrange(len(whole) + 1)],
            2: lambda whole=whole: whole + chance.choice((b"\x00", whole, b"abc")),
            3: lambda: packed(bytes(chance.choice((100, 20_000, 300_000))), encoding)[5:],
            4: lambda data=data: packed(data, chance.choice((b"gzip", b"deflate")))[5:],
            5: lambda data=data: zlib.compress(data)[2:-4],  # deflate without the zlib format
            6: lambda: chance.randbytes(chance.randrange(30)),
            7: lambda data=data: data,
            8: lambda: b"",
        }.get(chance.randrange(12), lambda whole=whole: whole)()
        parts.append(framed(short, compressed=chance.random() < 0.95))
    return b"".join(parts)


def wild_message(chance: Random) -> bytes:
    """Protobuf, or nearly: fields that are known or not, of any type, cut or spoiled."""
    parts = [_FIELDS[chance.randrange(len(_FIELDS))](chance) for _ in range(chance.randrange(5))]
    data = b"".join(parts)
    match chance.randrange(6):
        case 0:
            return spoiled(data, chance)
        case 1:
            return data[: chance.randrange(len(data) + 1)]
        case _:
            return data


def _any_tag(chance: Random) -> int:
    kind = chance.randrange(8)
    return chance.choice((0, 1, 1, 2, 15, 16, 2**28, 2**29 - 1, 2**29, 2**61)) << 3 | kind


def _group(chance: Random) -> bytes:
    depth = chance.choice((1, 1, 2, 99, 100, 101))
    return b"\x13" * depth + b"\x14" * (depth + chance.choice((0, 0, 0, -1, 1)))


def _long_varint(chance: Random) -> bytes:
    return b"\x80" * chance.randrange(12) + bytes([chance.choice((0, 1, 2, 0x0A, 0x10, 0x7F))])


_FIELDS: tuple[Callable[[Random], bytes], ...] = (
    lambda chance: chat_message(chance.choice(TEXTS)),
    lambda chance: b"\x0a" + varint(3) + chance.randbytes(3),
    lambda chance: varint(_any_tag(chance)) + varint(chance.choice(SIZES)),
    lambda chance: varint(_any_tag(chance)) + varint(4) + b"\x08\x01\x08\x01",
    lambda chance: varint(_any_tag(chance)) + chance.randbytes(chance.choice((4, 8))),
    lambda chance: chance.choice((b"\x0a", b"\x08", b"")) + _long_varint(chance),
    lambda chance: b"\x13" + wild_message(chance) + b"\x14",
    _group,
)

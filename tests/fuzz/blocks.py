"""Header blocks, right and wrong: HPACK (RFC 7541) by hand, and the fields that gRPC has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

from hpack import Encoder
from hpack.table import HeaderTable

__all__ = [
    "Fields",
    "block",
    "plain_block",
    "request_fields",
    "response_fields",
    "trailers_fields",
    "wild_block",
    "wild_fields",
]

Fields = list[tuple[bytes, bytes]]

CHAT_PATHS = (b"/service.v1.Service/Chat", b"/service.v1.Service/ChatStream", b"/Service/Chat")
PAGE = b"/healthz"
OTHER_PATHS = (
    PAGE,
    b"/grpc.health.v1.Health/Check",
    b"/grpc.health.v1.Health/List",
    b"/grpc.health.v1.Health/Watch",
    b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    b"/no.Such/Method",
)
WITHOUT_INDEXING, NEVER_INDEXED, INDEXING, SIZE_UPDATE, INDEXED = 0x00, 0x10, 0x40, 0x20, 0x80
PREFIX_BITS = {WITHOUT_INDEXING: 4, NEVER_INDEXED: 4, INDEXING: 6, SIZE_UPDATE: 5, INDEXED: 7}
STATIC_NAMES = {name: index for index, (name, _) in enumerate(HeaderTable.STATIC_TABLE, 1)}
HUFFMAN = Encoder().huffman_coder

NAMES = (
    b":method", b":scheme", b":path", b":authority", b":status", b":protocol", b":", b"", b"te",
    b"content-type", b"content-length", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding",
    b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"user-agent", b"x-trace",
    b"x-trace-bin", b"-bin", b"X-Upper", b"connection", b"transfer-encoding", b"upgrade", b"cookie",
    b"host", b"a b", b"x\xff", b"x\x00", b"grpc-", b"x" * 300,
)  # fmt: skip
VALUES = (
    b"", b" ", b"\x00", b"a\r\nb", b"\xff\xfe", "世界".encode(), b"a" * 500, b"POST", b"GET",
    b"http", b"https", b"/", b"*", b"//", b"trailers", b"trailers, deflate", b"application/grpc",
    b"application/grpc+proto", b"application/grpc+json", b"application/grpc;x=y", b"text/html",
    b"0", b"1", b"13", b"99", b"-1", b"00000000000", b"200", b"100", b"103", b"404", b"503", b"abc",
    b"9" * 4000, b"1S", b"0n", b"1m", b"99999999H", b"123456789S", b"1", b"S", b"1.5S", b"-1S",
    b"\xb2S", b"identity", b"gzip", b"deflate", b"br", b"gzip,identity", b",,", b"AAAA", b"A",
    b"AA", b"AAA=", b"=", b"====", b"!!!", b"AAAA,BBBB", b"%", b"%zz", b"%E4%B8%96", b"CAISAW0",
    b"CAI", b"a ", b"\ta", b"a\x7fb",
)  # fmt: skip


def number(value: int, bits: int, first: int = 0) -> bytes:
    """An integer in so many bits of the first byte, and as many more bytes as it takes."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    data = bytearray([first | most])
    value -= most
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def text(data: bytes, *, huffman: bool = False) -> bytes:
    """A string literal."""
    if huffman:
        data = HUFFMAN.encode(data)
    return number(len(data), 7, 0x80 if huffman else 0) + data


def field(name: bytes, value: bytes, kind: int, *, huffman: bool = False) -> bytes:
    """One field; its name by the static table if it is there."""
    index = STATIC_NAMES.get(name, 0)
    start = number(index, PREFIX_BITS[kind], kind)
    return start + (b"" if index else text(name, huffman=huffman)) + text(value, huffman=huffman)


@lru_cache(maxsize=256)
def _plain(name: bytes, value: bytes) -> bytes:
    return field(name, value, WITHOUT_INDEXING)


def plain_block(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Any fields as they are, by no table."""
    return b"".join([_plain(name, value) for name, value in fields])


def block(fields: Sequence[tuple[bytes, bytes]], chance: Random) -> bytes:
    """Any fields as they are, each in one of the ways there are."""
    if chance.random() < 0.7:
        return plain_block(fields)
    return b"".join(
        field(
            name,
            value,
            chance.choice((WITHOUT_INDEXING, NEVER_INDEXED, INDEXING)),
            huffman=chance.random() < 0.3,
        )
        for name, value in fields
    )


def request_fields(path: bytes = CHAT_PATHS[0], encoding: bytes = b"") -> Fields:
    """What opens a call, or asks for a page."""
    if path == PAGE:
        return [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path)]
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    if encoding:
        fields += [(b"grpc-encoding", encoding), (b"grpc-accept-encoding", b"identity,gzip")]
    return fields


def response_fields(encoding: bytes = b"") -> Fields:
    """What a server begins its answer with."""
    fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    return [*fields, (b"grpc-encoding", encoding)] if encoding else fields


def trailers_fields(status: int = 0) -> Fields:
    """What a server ends its answer with."""
    return [(b"grpc-status", b"%d" % status)] + ([(b"grpc-message", b"oh%20no")] if status else [])


def wild_fields(fields: Fields, chance: Random) -> Fields:
    """The fields, with some of them changed, gone, twice, elsewhere, or others among them."""
    fields = list(fields)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        place = chance.randrange(len(fields) + 1)
        name, value = fields[place] if place < len(fields) else (b"", b"")
        match chance.randrange(7):
            case 0 if name:
                del fields[place]
            case 1 if name:
                fields.insert(chance.randrange(len(fields) + 1), (name, value))
            case 2 if name:
                fields[place] = (name, chance.choice(VALUES))
            case 3 if name:
                fields[place] = (chance.choice(NAMES), value)
            case 4 if name:
                fields[place] = (name, spoiled(value, chance))
            case 5:
                chance.shuffle(fields)
            case _:
                fields.insert(place, (chance.choice(NAMES), chance.choice(VALUES)))
    return fields


def spoiled(data: bytes, chance: Random) -> bytes:
    """Bytes with one of them changed, gone or added."""
    place = chance.randrange(len(data) + 1)
    new = chance.choice((b"", bytes([chance.randrange(256)]), b"0", b"/"))
    return data[:place] + new + data[place + chance.randrange(2) :]


def wild_block(fields: Fields, encoder: Encoder, chance: Random) -> bytes:
    """Fields in wrong or odd HPACK; `encoder` is that of the connection."""
    if chance.random() < 0.4:
        encoder.header_table_size = chance.choice((0, 50, 100, 4096))
    if chance.random() < 0.8:
        data = encoder.encode(fields, huffman=chance.random() < 0.5)
    else:
        data = block(fields, chance)
    wild = chance.random()
    if wild < 0.1:
        return spoiled(data, chance)
    if wild < 0.2:
        return data[: chance.randrange(len(data) + 1)]
    if wild < 0.4:
        place = chance.choice((0, len(data), chance.randrange(len(data) + 1)))
        return data[:place] + _odd(chance) + data[place:]
    return data


def _odd(chance: Random) -> bytes:
    kind = chance.choice(tuple(PREFIX_BITS))
    bits = PREFIX_BITS[kind]
    value = chance.choice((0, 1, 2, 8, 16, 61, 62, 63, 70, 200, 4096, 4097, 2**16, 2**31, 2**64))
    match chance.randrange(6):
        case 0:  # a number that is longer than it needs to be, or has no end
            return bytes([kind | (1 << bits) - 1]) + b"\x80" * chance.choice((1, 4, 20, 2000))
        case 1:  # a text that is not there
            return bytes([kind]) + number(value, 7, chance.choice((0, 0x80))) + b"abc"
        case 2:  # Huffman code that is none
            code = chance.randbytes(chance.randrange(12))
            return bytes([kind]) + text(b"x") + number(len(code), 7, 0x80) + code
        case 3:
            return bytes([kind]) + text(chance.choice(NAMES)) + text(chance.choice(VALUES))
        case 4:
            return number(value, 5, SIZE_UPDATE)
        case _:
            return number(value, bits, kind)

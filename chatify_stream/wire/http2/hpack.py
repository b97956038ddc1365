"""HPACK header compression: hpack's encoder and decoder, made faster in two ways.

`FieldDecoder` replaces hpack's loop over the fields of a block. A block is decoded in one go, so
nothing else runs meanwhile. hpack calls four functions a field, each of which formats a log line,
and reads Huffman codes in Python (see `decode_string`).

`CachingDecoder` and `CachingEncoder` remember blocks. Calls of the same client have the same
headers, so their blocks are often equal bytes. A block that consists of one-byte references into
the tables keeps its meaning until a block of another kind changes the dynamic table, which clears
the cache.

Three tests in tests/wire/http2 compare with hpack: test_hpack, test_hpack_decoder, test_huffman.
"""

from __future__ import annotations

import zlib
from typing import Any, cast

from hpack import (
    Decoder,
    Encoder,
    HeaderTuple,
    HPACKDecodingError,
    NeverIndexedHeaderTuple,
    OversizedHeaderListError,
)
from hpack.hpack import decode_integer
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman

from ..grpclib_internals import Headers, decode_headers

INDEXED = 0x80
WITH_INDEXING = 0x40
TABLE_SIZE = 0x20
NEVER_INDEXED = 0x10
HUFFMAN = 0x80
FIELD_OVERHEAD = 32
"""Bytes that a field counts in addition to its name and value (RFC 7541, 4.1)."""
MAX_INTEGER_BYTES = 8
"""Bytes passed to hpack for one integer. hpack rejects integers of this length."""
MAX_BLOCKS = 32
"""Blocks in the cache. A gRPC client sends fewer different ones."""
LONG_REFERENCE = 0xFF
"""The first byte of a reference that takes more than one byte."""
MAX_CODE_BITS = 15
PADDING = b"\xff"

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LENGTHS = bytes(REQUEST_CODES_LENGTH[:256])


def _block_start() -> bytes:
    """Return the start of a DEFLATE block with HPACK's code, up to a byte boundary."""
    fields = [(1, 1), (2, 2)]  # the final block, with dynamic codes
    fields += [(0, 5), (0, 5), (15, 4)]  # 257 literal lengths, 1 distance length, 19 of lengths
    fields += [(0, 3)] * 3 + [(4, 3)] * 16  # each length is encoded in 4 bits
    bits = "".join(f"{value:0{width}b}"[::-1] for value, width in fields)
    lengths = [length if length <= MAX_CODE_BITS else 0 for length in _LENGTHS]
    bits += "".join(f"{length:04b}" for length in (*lengths, MAX_CODE_BITS, 0))
    filler = _LENGTHS.index(-len(bits) % 8)  # a character that completes the last byte
    bits += f"{REQUEST_CODES[filler]:0{_LENGTHS[filler]}b}"
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


_started = zlib.decompressobj(wbits=-9)
_started.decompress(_block_start())
"""A decompressor after the start of the block. Each string is decoded with a copy of it."""


def decode_string(data: bytes) -> bytes:
    """Decode HPACK's Huffman code with zlib. Raises hpack's `HPACKDecodingError`.

    hpack decodes half a byte per step of Python. That takes milliseconds for the largest header
    block allowed, during which the event loop serves nothing else. zlib's inflate is written in C
    and decodes any canonical Huffman code declared at the start of a DEFLATE block (RFC 1951,
    3.2.7), so this function feeds it a block that declares HPACK's code (RFC 7541, appendix B).
    Three differences matter:

    - DEFLATE reads the bits of a byte in reverse order.
    - DEFLATE codes have at most 15 bits. HPACK's longer codes, for `\\` and for bytes that are not
      printable ASCII, all start with 15 ones. Here 15 ones are the code for the end of the block.
      HPACK pads with ones, so with an extra byte of ones every valid string ends with this code. A
      string that contains it earlier has a longer code or is invalid, and is decoded by hpack.
    - The last character must not include bits of the padding, so the bits of all characters are
      counted. The lengths of their codes, read as a number to base 256, equal their sum modulo 255.
    """
    block = _started.copy()
    text = block.decompress(data.translate(_REVERSED) + PADDING)
    padding = (8 * len(data) - int.from_bytes(text.translate(_LENGTHS), "big")) % 255
    if padding > 7 or block.unused_data:
        return decode_huffman(data)
    return text


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return the integer that starts in the last `bits` of a byte, and the position after it."""
    mask = (1 << bits) - 1
    number = data[at] & mask
    if number < mask:
        return number, at + 1
    number, size = decode_integer(data[at : at + MAX_INTEGER_BYTES], bits)
    return number, at + size


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(data):
        raise HPACKDecodingError("Truncated header block")
    length, start = _integer(data, at, 7)
    end = start + length
    if end > len(data):
        raise HPACKDecodingError("Truncated header block")
    text = data[start:end]
    return (decode_string(text) if data[at] & HUFFMAN else text), end


class FieldDecoder(Decoder):
    """hpack's decoder with a faster loop. Returns fields as bytes only."""

    def decode(self, data: bytes, raw: bool = True) -> list[HeaderTuple]:
        """Return the fields of a block. Raises hpack's `HPACKError`."""
        table = self.header_table
        fields: list[HeaderTuple] = []
        at = size = 0
        while at < len(data):
            first = data[at]
            if first & INDEXED:
                index, at = _integer(data, at, 7)
                name, value = table.get_by_index(index)
                field = HeaderTuple(name, value)
            elif first & WITH_INDEXING:
                name, value, at = self._literal(data, at, 6)
                table.add(name, value)
                field = HeaderTuple(name, value)
            elif first & TABLE_SIZE:
                if fields:
                    raise HPACKDecodingError("Table size update not at the start of the block")
                at += self._update_encoding_context(data[at : at + MAX_INTEGER_BYTES])
                continue
            else:
                name, value, at = self._literal(data, at, 4)
                kind = NeverIndexedHeaderTuple if first & NEVER_INDEXED else HeaderTuple
                field = kind(name, value)
            fields.append(field)
            size += FIELD_OVERHEAD + len(name) + len(value)
            if size > self.max_header_list_size:
                raise OversizedHeaderListError(
                    f"A header list larger than {self.max_header_list_size} has been received"
                )
        self._assert_valid_table_size()
        return fields

    def _literal(self, data: bytes, at: int, bits: int) -> tuple[bytes, bytes, int]:
        index, at = _integer(data, at, bits)
        if index:
            name = self.header_table.get_by_index(index)[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        return name, value, at


def _is_cacheable(block: bytes) -> bool:
    """Return True for a block of one-byte references, which does not change the table."""
    return bool(block) and min(block) >= INDEXED and LONG_REFERENCE not in block


class _Entries(list[tuple[bytes, bytes]]):
    """Replaces hpack's deque, which takes 760 bytes when empty. The table has few entries."""

    def appendleft(self, entry: tuple[bytes, bytes]) -> None:
        self.insert(0, entry)


class CachedHeaders(list[tuple[str, str]]):
    """Headers from the cache. The same block returns the same list again."""


class CachingDecoder(FieldDecoder):
    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self.header_table.dynamic_entries = cast(Any, _Entries())
        self._cache: dict[bytes, Headers] = {}

    def decode(self, data: bytes, raw: bool = True) -> list[HeaderTuple]:
        if self._cache and not _is_cacheable(data):
            self._cache = {}
        return super().decode(data)

    def decode_text(self, block: bytes) -> Headers:
        """Return the fields as latin-1 text, not to be changed. Raises h2's `ProtocolError`."""
        headers = self._cache.get(block)
        if headers is None:
            headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in decode_headers(self, block)
            ]
            if _is_cacheable(block) and len(self._cache) < MAX_BLOCKS:
                headers = self._cache[block] = CachedHeaders(headers)
        return headers


class CachingEncoder(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.header_table.dynamic_entries = cast(Any, _Entries())
        self._cache: dict[tuple[tuple[str, str], ...], bytes] = {}

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        block = super().encode(headers, huffman)
        if self._cache and not _is_cacheable(block):
            self._cache = {}
        return block

    def encode_text(self, headers: Headers) -> bytes:
        """Return the block for fields that may be indexed."""
        key = tuple(headers)
        block = None if self.header_table.resized else self._cache.get(key)
        if block is None:
            block = self.encode(headers)
            if _is_cacheable(block) and len(self._cache) < MAX_BLOCKS:
                self._cache[key] = block
        return block

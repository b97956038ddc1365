"""HPACK header compression: hpack's encoder and decoder, made faster in two ways.

`FieldDecoder` replaces hpack's loop over the fields of a block. A block is decoded in one go, so
nothing else runs meanwhile. hpack calls four functions a field, each of which formats a log line,
and reads Huffman codes in Python (see `huffman`).

`CachingDecoder` and `CachingEncoder` remember blocks. Calls of the same client have the same
headers, so their blocks are often equal bytes. A block that consists of one-byte references into
the tables keeps its meaning until a block of another kind changes the dynamic table, which clears
the cache.

tests/wire/http2/test_hpack.py and test_hpack_decoder.py compare both with hpack.
"""

from __future__ import annotations

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

from ..grpclib_internals import Headers, decode_headers
from . import huffman

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


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return the integer that starts in the last `bits` of a byte, and the position after it."""
    mask = (1 << bits) - 1
    number = data[at] & mask
    if number < mask:
        return number, at + 1
    number, size = decode_integer(data[at : at + MAX_INTEGER_BYTES], bits)
    return number, at + size


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at a position, and the position after it."""
    if at >= len(data):
        raise HPACKDecodingError("Truncated header block")
    length, start = _integer(data, at, 7)
    end = start + length
    if end > len(data):
        raise HPACKDecodingError("Truncated header block")
    text = data[start:end]
    return (huffman.decode(text) if data[at] & HUFFMAN else text), end


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
        """Return the name and value of a literal field, and the position after it."""
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
    """A decoder with a cache, which `decode_text` uses."""

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self.header_table.dynamic_entries = cast(Any, _Entries())
        self._cache: dict[bytes, Headers] = {}

    def decode(self, data: bytes, raw: bool = True) -> list[HeaderTuple]:
        if self._cache and not _is_cacheable(data):
            self._cache = {}
        return super().decode(data)

    def decode_text(self, block: bytes) -> Headers:
        """Return the fields as latin-1 text. The list must not be changed.

        Raises h2's `ProtocolError`.
        """
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
    """hpack's encoder with a cache, which `encode_text` uses."""

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

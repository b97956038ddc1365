"""HPACK, with a memory: the same caller sends, and is sent, the same bytes again and again.

A block in which every field is one byte, a reference into the tables, means the same until
another kind of block changes the table. hpack takes microseconds a field to find that out anew.

tests/wire/http2/test_hpack.py compares with hpack alone.
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

__all__ = ["CachedHeaders", "CachingDecoder", "CachingEncoder", "FieldDecoder"]

INDEXED = 0x80
WITH_INDEXING = 0x40
TABLE_SIZE = 0x20
NEVER_INDEXED = 0x10
IN_HUFFMAN_CODE = 0x80
ENTRY = 32
"""Bytes that a field counts for beside its text (RFC 7541, section 4.1)."""

MOST_INTEGER = 8
"""Bytes. hpack takes fewer."""


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """The number that begins in the last `bits` of a byte, and where it ends."""
    most = (1 << bits) - 1
    number = data[at] & most
    if number < most:
        return number, at + 1
    number, size = decode_integer(data[at : at + MOST_INTEGER], bits)
    return number, at + size


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string that begins there, and where it ends."""
    if at >= len(data):
        raise HPACKDecodingError("Truncated header block")
    length, start = _integer(data, at, 7)
    end = start + length
    if end > len(data):
        raise HPACKDecodingError("Truncated header block")
    text = data[start:end]
    return (huffman.decode(text) if data[at] & IN_HUFFMAN_CODE else text), end


class FieldDecoder(Decoder):
    """As hpack's, but that it gives fields as bytes only."""

    def decode(self, data: bytes, raw: bool = True) -> list[HeaderTuple]:
        """The fields of a block. Raises hpack's `HPACKError`."""
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
                at += self._update_encoding_context(data[at : at + MOST_INTEGER])
                continue
            else:
                name, value, at = self._literal(data, at, 4)
                kind = NeverIndexedHeaderTuple if first & NEVER_INDEXED else HeaderTuple
                field = kind(name, value)
            fields.append(field)
            size += ENTRY + len(name) + len(value)
            if size > self.max_header_list_size:
                raise OversizedHeaderListError(
                    f"A header list larger than {self.max_header_list_size} has been received"
                )
        self._assert_valid_table_size()
        return fields

    def _literal(self, data: bytes, at: int, bits: int) -> tuple[bytes, bytes, int]:
        """The name and value of the field that begins there, and where it ends."""
        index, at = _integer(data, at, bits)
        if index:
            name = self.header_table.get_by_index(index)[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        return name, value, at


MAX_BLOCKS = 32
"""How many blocks are remembered; a peer that sends more kinds than that is no gRPC client."""

REFERENCE = 0x80
LONG_REFERENCE = 0xFF


def _is_made_of_references(block: bytes) -> bool:
    """Such a block does not change the table."""
    return bool(block) and min(block) >= REFERENCE and LONG_REFERENCE not in block


class _Entries(list[tuple[bytes, bytes]]):
    """In the place of hpack's deque, which takes 760 bytes when it is empty; there are few."""

    def appendleft(self, entry: tuple[bytes, bytes]) -> None:
        self.insert(0, entry)


class CachedHeaders(list[tuple[str, str]]):
    """Fields that the decoder gives again, the very same list, for the same block."""


class CachingDecoder(FieldDecoder):
    """A decoder; `decode_text` is the one that remembers."""

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self.header_table.dynamic_entries = cast(Any, _Entries())
        self._known: dict[bytes, Headers] = {}

    def decode(self, data: bytes, raw: bool = True) -> list[HeaderTuple]:
        if self._known and not _is_made_of_references(data):
            self._known = {}
        return super().decode(data)

    def decode_text(self, block: bytes) -> Headers:
        """The fields, byte by byte as characters; a list that must not be changed.

        Raises h2's `ProtocolError`.
        """
        headers = self._known.get(block)
        if headers is None:
            headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in decode_headers(self, block)
            ]
            if _is_made_of_references(block) and len(self._known) < MAX_BLOCKS:
                headers = self._known[block] = CachedHeaders(headers)
        return headers


class CachingEncoder(Encoder):
    """hpack's encoder; `encode_text` is the one that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table.dynamic_entries = cast(Any, _Entries())
        self._known: dict[tuple[tuple[str, str], ...], bytes] = {}

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        block = super().encode(headers, huffman)
        if self._known and not _is_made_of_references(block):
            self._known = {}
        return block

    def encode_text(self, headers: Headers) -> bytes:
        """The block of fields that may be indexed."""
        key = tuple(headers)
        block = None if self.header_table.resized else self._known.get(key)
        if block is None:
            block = self.encode(headers)
            if _is_made_of_references(block) and len(self._known) < MAX_BLOCKS:
                self._known[key] = block
        return block

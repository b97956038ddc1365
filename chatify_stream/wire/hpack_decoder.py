"""hpack's decoder, with a loop of its own over the fields of a block.

A header block cannot be divided: nobody else is served while it is decoded. hpack calls four
functions a field, and each writes a line for a log that nobody reads; and it takes a step of
Python for each half of a byte in Huffman code (see `huffman`).

tests/wire/test_hpack_decoder.py compares with hpack.
"""

from __future__ import annotations

from hpack import (
    Decoder,
    HeaderTuple,
    HPACKDecodingError,
    NeverIndexedHeaderTuple,
    OversizedHeaderListError,
)
from hpack.hpack import decode_integer

from . import huffman

__all__ = ["FieldDecoder"]

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

"""HPACK, with a memory: the same caller sends, and is sent, the same bytes again and again.

A block in which every field is one byte, a reference into the tables, means the same until
another kind of block changes the table. hpack takes microseconds a field to find that out anew.

tests/wire/test_header_blocks.py compares with hpack alone.
"""

from __future__ import annotations

from typing import Any, cast

from hpack import Encoder, HeaderTuple

from .grpclib_internals import Headers, decode_headers
from .hpack_decoder import FieldDecoder

__all__ = ["RememberedHeaders", "RememberingDecoder", "RememberingEncoder"]

MOST_BLOCKS = 32
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


class RememberedHeaders(list[tuple[str, str]]):
    """Fields that the decoder gives again, the very same list, for the same block."""


class RememberingDecoder(FieldDecoder):
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
            if _is_made_of_references(block) and len(self._known) < MOST_BLOCKS:
                headers = self._known[block] = RememberedHeaders(headers)
        return headers


class RememberingEncoder(Encoder):
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
            if _is_made_of_references(block) and len(self._known) < MOST_BLOCKS:
                self._known[key] = block
        return block

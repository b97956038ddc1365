"""Tests of FieldDecoder of wire/http2/hpack.py: fields, errors and tables equal hpack's."""

from __future__ import annotations

from typing import Any

import pytest
from hpack import (
    Decoder,
    HeaderTuple,
    HPACKError,
    NeverIndexedHeaderTuple,
    OversizedHeaderListError,
)
from hpack.hpack import encode_integer
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.wire.http2.hpack import FieldDecoder

MAX_SIZE = 2000

huffman_encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode


def number(value: int, bits: int, first: int) -> bytes:
    coded = encode_integer(value, bits)
    coded[0] |= first
    return bytes(coded)


def string(text: bytes, huffman: bool) -> bytes:
    coded = huffman_encode(text) if huffman else text
    return number(len(coded), 7, 0x80 * huffman) + coded


texts = st.sampled_from([b"", b"x", b"name", b"\xff\\ \x00", b"long " * 30, b"huge" * 600])
strings = st.builds(string, texts, st.booleans())
indices = st.integers(0, 70) | st.sampled_from([2**14, 2**31, 2**40])
kinds = st.sampled_from([(6, 0x40), (4, 0x00), (4, 0x10)])
fields = (
    st.builds(number, indices, st.just(7), st.just(0x80))
    | st.builds(lambda index, kind, value: number(index, *kind) + value, indices, kinds, strings)
    | st.builds(lambda kind, name, value: number(0, *kind) + name + value, kinds, strings, strings)
)
sizes = st.builds(
    number, st.sampled_from([0, 40, 200, 4096, 4097, 2**40]), st.just(5), st.just(0x20)
)
blocks = st.builds(
    lambda sizes, fields: b"".join(sizes + fields),
    st.lists(sizes, max_size=1),
    st.lists(st.integers(0, 70).map(lambda index: number(index, 7, 0x80)) | fields, max_size=6),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Blocks with a changed byte, cut blocks, and two blocks in one."""
    block = bytearray(draw(blocks) + draw(st.just(b"") | blocks))
    if block and draw(st.booleans()):
        block[draw(st.integers(0, len(block) - 1))] = draw(st.integers(0, 255))
    return bytes(block[: draw(st.integers(0, len(block)))])


def outcome(decoder: Decoder, block: bytes) -> list[Any] | type[BaseException]:
    try:
        return [(type(field), *field) for field in decoder.decode(block, raw=True)]
    except HPACKError as error:
        return type(error)


def table(decoder: Decoder) -> tuple[Any, ...]:
    entries = decoder.header_table
    return [*entries.dynamic_entries], entries._current_size, entries.maxsize


@given(
    st.lists(blocks | damaged() | st.binary(max_size=20), max_size=6), st.sampled_from([4096, 100])
)
@example([b"\x0f"], 4096)
@example([b"\x00\x01"], 4096)
@example([b"\x00\x01x"], 4096)
@example([b"\x00\x01x\x02x"], 4096)
@example([b"\x40" + b"\x7f\xff\xff\xff\xff\xff\x01" + b"x"], 4096)
@example([b"\x82\x20"], 4096)
@example([b"\x82", b"\x20\x82", b"\x82"], 100)
@example([b"\x3f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"], 4096)
def test_as_hpack(blocks: list[bytes], max_table: int) -> None:
    """Fields, errors and the resulting table equal those of hpack, also after an invalid block."""
    ours, theirs = FieldDecoder(MAX_SIZE), Decoder(MAX_SIZE)
    ours.max_allowed_table_size = theirs.max_allowed_table_size = max_table
    for block in blocks:
        assert outcome(ours, block) == outcome(theirs, block)
        assert table(ours) == table(theirs)


def test_kinds() -> None:
    """Every representation of a field is decoded; never-indexed fields keep their type."""
    decoder = FieldDecoder(MAX_SIZE)
    block = b"\x82" + b"\x40\x01a\x01b" + b"\x10\x01c\x01d" + b"\x00\x01e\x01f" + b"\x51\x01g"
    read = decoder.decode(block)
    assert read == [
        (b":method", b"GET"),
        (b"a", b"b"),
        (b"c", b"d"),
        (b"e", b"f"),
        (b"accept-language", b"g"),
    ]
    assert [type(field) for field in read] == [
        HeaderTuple,
        HeaderTuple,
        NeverIndexedHeaderTuple,
        HeaderTuple,
        HeaderTuple,
    ]


def test_too_large() -> None:
    """Decoding stops at the first field over the limit."""
    decoder = FieldDecoder(MAX_SIZE)
    decoder.decode(b"\x82" * (MAX_SIZE // 42))
    with pytest.raises(OversizedHeaderListError, match=f"larger than {MAX_SIZE}"):
        decoder.decode(b"\x82" * (MAX_SIZE // 42 + 1))

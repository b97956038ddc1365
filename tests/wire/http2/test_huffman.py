"""Tests of the Huffman code in wire/http2/hpack.py: it accepts the same strings as hpack."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.wire.http2 import hpack
from chatify_stream.wire.http2.hpack import decode_string

encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode

PRINTABLE = bytes(range(0x20, 0x7F)).replace(b"\\", b"")
printable = st.lists(st.sampled_from(PRINTABLE), max_size=600).map(bytes)
# Mostly short codes, with a few long ones between.
mixed = st.lists(printable | st.binary(max_size=3), max_size=4).map(b"".join)


def outcome(decode: Callable[[bytes], bytes], data: bytes) -> bytes | str:
    try:
        return decode(data)
    except HPACKDecodingError as error:
        return str(error)


def test_every_short_string() -> None:
    for size in range(3):
        for data in map(bytes, itertools.product(range(256), repeat=size)):
            assert outcome(decode_string, data) == outcome(decode_huffman, data), data


def test_every_pair_of_characters() -> None:
    """Every code follows every other, with every number of padding bits."""
    for pair in map(bytes, itertools.product(range(256), repeat=2)):
        assert decode_string(encode(pair)) == pair


def test_long_code_at_any_position() -> None:
    """This includes the positions where the bit count modulo 255 is ambiguous."""
    for at in range(300):
        text = b"0" * at + b"\\" + b"0" * (300 - at)
        assert decode_string(encode(text)) == text


@given(printable | mixed)
def test_text(text: bytes) -> None:
    assert decode_string(encode(text)) == text


@given(st.binary(max_size=600), st.integers(0, 5))
@example(b"", 4)
def test_any_bytes(data: bytes, ones: int) -> None:
    data += b"\xff" * ones
    assert outcome(decode_string, data) == outcome(decode_huffman, data)


@given(mixed.filter(bool), st.data())
def test_damaged_text(text: bytes, data: st.DataObject) -> None:
    """A flipped bit (often in the padding), a cut and trailing bytes give the result of hpack."""
    damaged = bytearray(encode(text))
    bits = 8 * len(damaged)
    bit = data.draw(st.integers(max(bits - 9, 0), bits - 1) | st.integers(0, bits - 1))
    damaged[bit // 8] ^= 0x80 >> bit % 8
    cut = encode(text)[: data.draw(st.integers(0, bits // 8))]
    longer = encode(text) + data.draw(st.sampled_from([b"\x00", b"\x7f", b"\xff", b"\xfe"]))
    for wrong in (bytes(damaged), cut, longer):
        assert outcome(decode_string, wrong) == outcome(decode_huffman, wrong)


@pytest.mark.parametrize("size", [1, 100, 10_000, 100_000])
def test_hpack_is_not_needed(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Printable text without a backslash is decoded by zlib alone."""
    text = (PRINTABLE * (size // len(PRINTABLE) + 1))[:size]
    data = encode(text)
    monkeypatch.setattr(hpack, "decode_huffman", None)
    assert decode_string(data) == text

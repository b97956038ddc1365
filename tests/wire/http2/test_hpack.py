"""Tests of wire/header_blocks.py: with its memory and without it, the blocks are the same."""

from __future__ import annotations

import pytest
from h2.exceptions import DenialOfServiceError, ProtocolError
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire.http2.hpack import MAX_BLOCKS, CachingDecoder, CachingEncoder

from ..raw import request_headers

names = st.sampled_from([":path", "x", "y", "grpc-timeout", "user-agent"])
values = st.sampled_from(["", "/a", "1S", "é", "long " * 30])
lists = st.lists(st.tuples(names, values), min_size=1, max_size=6)
# The same few lists come again and again, between others.
runs = st.tuples(st.lists(lists, min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=30))


@given(runs, st.lists(st.sampled_from([None, 0, 60, 4096]), max_size=30))
def test_as_hpack(run: tuple[list[list[tuple[str, str]]], list[int]], sizes: list) -> None:
    """Whatever is encoded, also when the table changes its size, can be read, and is hpack's."""
    known, order = run
    ours, theirs = CachingEncoder(), Encoder()
    decoder, reader = CachingDecoder(2**16), Decoder(2**16)
    sizes = [*sizes, *[None] * len(order)]
    for index, size in zip(order, sizes, strict=False):
        if size is not None:
            ours.header_table_size = theirs.header_table_size = size
        headers = known[index % len(known)]
        block = ours.encode_text(headers)
        assert block == theirs.encode(headers)
        raw = reader.decode(block, raw=True)
        text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        assert decoder.decode_text(block) == text


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_any_bytes(blocks: list[bytes]) -> None:
    """Any blocks, twice each, are read, or refused, as hpack does it."""
    decoder, reader = CachingDecoder(2**16), Decoder(2**16)
    for block in [block for block in blocks for _ in range(2)]:
        try:
            raw = reader.decode(block, raw=True)
        except Exception:
            with pytest.raises(ProtocolError):
                decoder.decode_text(block)
            return
        text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        assert decoder.decode_text(block) == text


def test_what_comes_again_is_remembered() -> None:
    """The second block that only refers to the tables is not read again, nor made again."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    first, second, third = [encoder.encode_text(request_headers()) for _ in range(3)]
    assert first != second
    assert second is third
    decoder.decode_text(first)
    assert decoder.decode_text(second) is decoder.decode_text(third)


def test_a_change_of_the_table_is_noticed() -> None:
    """What the tables say is not remembered longer than they say it."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    for headers in [[("x", "1")]] * 2 + [[("x", "2")]] * 2 + [[("x", "1")]] * 2:
        assert decoder.decode_text(encoder.encode_text(headers)) == headers
    for headers in [[("x", "3")]] * 2 + [[("x", "1")]]:
        raw = decoder.decode(encoder.encode(headers), raw=True)  # as h2 does
        assert [(name.decode(), value.decode()) for name, value in raw] == headers
    assert decoder.decode_text(encoder.encode_text([("x", "2")])) == [("x", "2")]


def test_the_memory_is_bounded() -> None:
    """A peer that sends many kinds of blocks does not fill the memory with them."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    fields = [(":path", "/"), (":method", "GET"), (":scheme", "http")]
    for number in range(1, 3 * MAX_BLOCKS):
        headers = [fields[number % 3]] * number
        assert decoder.decode_text(encoder.encode_text(headers)) == headers
    assert len(decoder._known) == len(encoder._known) == MAX_BLOCKS


def test_a_list_that_is_too_large() -> None:
    """A list that is too large is an error of the connection, also if it only refers."""
    decoder = CachingDecoder(100)
    with pytest.raises(DenialOfServiceError):
        decoder.decode_text(b"\x84" * 100)

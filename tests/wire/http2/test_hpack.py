"""Tests of the caches of wire/http2/hpack.py: with and without them, the blocks are equal."""

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
# A few lists that are repeated between others.
runs = st.tuples(st.lists(lists, min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=30))


@given(runs, st.lists(st.sampled_from([None, 0, 60, 4096]), max_size=30))
def test_as_hpack(run: tuple[list[list[tuple[str, str]]], list[int]], sizes: list) -> None:
    """Encoded blocks equal those of hpack and can be decoded, also when the table is resized."""
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
    """Any block, decoded twice, gives the fields or the error that hpack gives."""
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


def test_repeated_blocks_are_cached() -> None:
    """A repeated block of references is encoded and decoded once."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    first, second, third = [encoder.encode_text(request_headers()) for _ in range(3)]
    assert first != second
    assert second is third
    decoder.decode_text(first)
    assert decoder.decode_text(second) is decoder.decode_text(third)


def test_table_changes_clear_the_cache() -> None:
    """Cached blocks are dropped when the dynamic table changes."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    for headers in [[("x", "1")]] * 2 + [[("x", "2")]] * 2 + [[("x", "1")]] * 2:
        assert decoder.decode_text(encoder.encode_text(headers)) == headers
    for headers in [[("x", "3")]] * 2 + [[("x", "1")]]:
        raw = decoder.decode(encoder.encode(headers), raw=True)  # as h2 does
        assert [(name.decode(), value.decode()) for name, value in raw] == headers
    assert decoder.decode_text(encoder.encode_text([("x", "2")])) == [("x", "2")]


def test_cache_size_is_bounded() -> None:
    """Many different blocks do not grow the cache beyond its limit."""
    encoder, decoder = CachingEncoder(), CachingDecoder(2**16)
    fields = [(":path", "/"), (":method", "GET"), (":scheme", "http")]
    for number in range(1, 3 * MAX_BLOCKS):
        headers = [fields[number % 3]] * number
        assert decoder.decode_text(encoder.encode_text(headers)) == headers
    assert len(decoder._cache) == len(encoder._cache) == MAX_BLOCKS


def test_too_large_list() -> None:
    """A header list over the limit is a connection error, also in a block of references."""
    decoder = CachingDecoder(100)
    with pytest.raises(DenialOfServiceError):
        decoder.decode_text(b"\x84" * 100)

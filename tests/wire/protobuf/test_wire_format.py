"""Tests of wire/protobuf/wire_format.py. test_decoder.py compares with google.protobuf."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.wire.protobuf.wire_format import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    MAX_TAG_BYTES,
    MAX_VALUE_BYTES,
    field_end,
    read_varint,
    skip_field,
    varint_bytes,
)

from ..encoding import delimited, grouped, varint_field


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
@example(127, b"")
@example(128, b"")
@example(2**64 - 1, b"\x01")
def test_varints(number: int, rest: bytes) -> None:
    """A decoded varint equals the encoded number, and ends where the encoding ends."""
    data = varint_bytes(number)
    assert len(data) == max(1, -(-number.bit_length() // 7))
    assert read_varint(b"\xff" + data + rest, 1, MAX_VALUE_BYTES) == (number, 1 + len(data))


@pytest.mark.parametrize("max_bytes", [MAX_TAG_BYTES, MAX_VALUE_BYTES])
def test_long_varints(max_bytes: int) -> None:
    """A varint may be longer than necessary, up to a limit."""
    data = b"\x81" + b"\x80" * (max_bytes - 2) + b"\x00"
    assert read_varint(data, 0, max_bytes) == (1, max_bytes)
    for unterminated in (b"\x80" + data, data[:-1], b""):
        with pytest.raises(ValueError, match="varint without an end"):
            read_varint(unterminated, 0, max_bytes)


@pytest.mark.parametrize(
    ("wire_type", "data", "content"),
    [
        (LENGTH_DELIMITED, b"\x02ab", (1, 3)),
        (LENGTH_DELIMITED, b"\x00", (1, 1)),
        (FIXED32, b"1234", (0, 4)),
        (FIXED64, b"12345678", (0, 8)),
    ],
)
def test_field_end(wire_type: int, data: bytes, content: tuple[int, int]) -> None:
    """A field must end within its message."""
    assert field_end(data, 0, len(data), wire_type) == content
    assert field_end(data + b"?", 0, len(data) + 1, wire_type) == content
    with pytest.raises(ValueError, match="truncated field"):
        field_end(data + b"?", 0, len(data) - 1, wire_type)


@pytest.mark.parametrize(
    "field",
    [
        varint_field(1, 2**40),
        delimited(2**29 - 1, b"ab"),
        b"\x0d1234",
        b"\x0912345678",
        grouped(3, varint_field(0, 1) + delimited(5, b"ab") + grouped(3, b"")),
    ],
)
def test_skipping(field: bytes) -> None:
    """An unknown field is skipped to its end."""
    tag, position = read_varint(field, 0, MAX_TAG_BYTES)
    assert skip_field(field + b"\x08\x01", position, len(field) + 2, tag, 0) == len(field)

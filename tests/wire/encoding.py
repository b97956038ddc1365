"""Hypothesis strategies for protobuf messages, valid and damaged."""

from __future__ import annotations

import struct
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

from chatify_stream.wire import varint_bytes

__all__ = ["delimited", "encoded", "grouped", "varint_field"]

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, GROUP_END, FIXED32 = range(6)
MAX_DEPTH = 3

_FIXED = {
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
}


def delimited(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field: text, bytes, a message or packed values."""
    return varint_bytes(number << 3 | LENGTH_DELIMITED) + varint_bytes(len(content)) + content


def varint_field(number: int, value: int) -> bytes:
    return varint_bytes(number << 3 | VARINT) + varint_bytes(value)


def grouped(number: int, content: bytes) -> bytes:
    start, end = varint_bytes(number << 3 | GROUP), varint_bytes(number << 3 | GROUP_END)
    return start + content + end


varints = st.one_of(
    st.integers(0, 3).map(varint_bytes),
    st.integers(0, 2**64 - 1).map(varint_bytes),
    st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]).map(varint_bytes),
    # Longer than necessary, with excess bits, and without an end.
    st.integers(1, 9).map(lambda size: b"\x80" * size + b"\x00"),
    st.sampled_from([b"\xff" * 9 + b"\x7f", b"\x81" + b"\x80" * 8 + b"\x02", b"\xff" * 10]),
)
contents = {
    VARINT: varints,
    FIXED64: st.one_of(
        st.binary(min_size=8, max_size=8),
        st.floats().map(lambda number: struct.pack("<d", number)),
    ),
    FIXED32: st.one_of(
        st.binary(min_size=4, max_size=4),
        st.floats(width=32).map(lambda number: struct.pack("<f", number)),
    ),
}


@st.composite
def encoded(draw: Any, descriptor: Descriptor, depth: int = 0) -> bytes:
    """Generate a message that is valid, has unknown fields, or is damaged."""
    fields = [draw(_field(descriptor, depth)) for _ in range(draw(st.integers(0, 4)))]
    data = b"".join(fields)
    match draw(st.integers(0, 20)):
        case 0:
            return data[: draw(st.integers(0, len(data)))]
        case 1:
            place = draw(st.integers(0, len(data)))
            return data[:place] + draw(st.binary(max_size=3)) + data[place + 1 :]
        case 2:
            return grouped(draw(st.integers(0, 20)), data)
        case 3:
            return data + data
    return data


@st.composite
def _field(draw: Any, descriptor: Descriptor, depth: int) -> bytes:
    known = list(descriptor.fields)
    is_known = known and draw(st.integers(0, 9))
    if is_known and draw(st.integers(0, 9)):
        return draw(_known_field(draw(st.sampled_from(known)), depth))
    number = draw(st.sampled_from(known)).number if is_known else draw(st.integers(0, 2**29))
    wire_type = draw(st.integers(0, 7))
    tag = varint_bytes(number << 3 | wire_type)
    if wire_type in contents:
        return tag + draw(contents[wire_type])
    if wire_type == LENGTH_DELIMITED:
        return delimited(number, draw(st.binary(max_size=12)))
    return tag + draw(st.binary(max_size=4))


@st.composite
def _known_field(draw: Any, field: FieldDescriptor, depth: int) -> bytes:
    number = field.number
    if field.message_type is not None:
        content = draw(encoded(field.message_type, depth + 1)) if depth < MAX_DEPTH else b""
        return delimited(number, content)
    if field.type == FieldDescriptor.TYPE_STRING:
        texts = st.text(max_size=4).map(str.encode)
        return delimited(number, draw(texts if draw(st.integers(0, 9)) else st.binary(max_size=4)))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return delimited(number, draw(st.binary(max_size=4)))
    wire_type = _FIXED.get(field.type, VARINT)
    if field.is_repeated and draw(st.booleans()):
        values = draw(st.lists(contents[wire_type], max_size=3))
        return delimited(number, b"".join(values))
    return varint_bytes(number << 3 | wire_type) + draw(contents[wire_type])

"""Read and skip the fields of an encoded protobuf message, as strictly as google.protobuf.

Functions raise `ValueError` for truncated data, varints without an end, invalid wire types and
field numbers, unmatched groups, and groups nested too deeply.
"""

from __future__ import annotations

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, GROUP_END, FIXED32 = range(6)

MAX_DEPTH = 100
"""Levels of messages and groups below the outermost message."""
MAX_VALUE_BYTES, MAX_TAG_BYTES = 10, 5
"""Bytes of a varint that holds a value, and of one that holds a tag or a size."""


def varint_bytes(number: int) -> bytes:
    """Encode a number from 0 to 2^64 - 1 as a varint."""
    if number < 0x80:
        return b"%c" % number
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def read_varint(data: bytes, position: int, max_bytes: int) -> tuple[int, int]:
    """Return the lowest 64 bits of a varint of at most `max_bytes`, and the position after it.

    The varint may extend beyond the end of its message. The caller must check the position.
    """
    try:
        byte = data[position]
        position += 1
        if byte < 0x80:
            return byte, position
        value, shift = byte & 0x7F, 7
        for position in range(position, position + max_bytes - 1):  # noqa: B020
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position + 1
            shift += 7
    except IndexError:
        pass
    raise ValueError("varint without an end")


def field_end(data: bytes, position: int, end: int, wire_type: int) -> tuple[int, int]:
    """Return the start and end of the content of a field that is not a varint or group."""
    if wire_type == LENGTH_DELIMITED:
        size, position = read_varint(data, position, MAX_TAG_BYTES)
    elif wire_type in (FIXED64, FIXED32):
        size = 8 if wire_type == FIXED64 else 4
    else:
        raise ValueError(f"field with wire type {wire_type}")
    if size > end - position:
        raise ValueError("truncated field")
    return position, position + size


def skip_field(data: bytes, position: int, end: int, tag: int, depth: int) -> int:
    """Return the position after an unknown field of a message `depth` levels deep.

    The position may be beyond `end`, the end of the message. The caller must check it.
    """
    if tag >> 3 == 0:
        raise ValueError("field number 0")
    return _skip(data, position, end, tag, depth)


def _skip(data: bytes, position: int, end: int, tag: int, depth: int) -> int:
    # google.protobuf accepts the field number 0 within a group.
    number, wire_type = tag >> 3, tag & 7
    if number >= 2**29:
        raise ValueError(f"field number {number}")
    if wire_type == GROUP:
        return _skip_group(data, position, end, number, depth + 1)
    if wire_type != VARINT:
        return field_end(data, position, end, wire_type)[1]
    return read_varint(data, position, MAX_VALUE_BYTES)[1]


def _skip_group(data: bytes, position: int, end: int, number: int, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise ValueError("groups nested too deeply")
    while position < end:
        tag, position = read_varint(data, position, MAX_TAG_BYTES)
        if tag & 7 == GROUP_END:
            if tag >> 3 != number:
                raise ValueError("unmatched end of group")
            return position
        position = _skip(data, position, end, tag, depth)
    raise ValueError("truncated group")

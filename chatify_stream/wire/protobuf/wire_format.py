"""The fields of an encoded protobuf message, walked as strictly as google.protobuf walks them.

What is cut off, has a varint without an end, a wire type or number that there is not, groups that
do not match, or messages and groups that are too deep, is no message: `ValueError`.
"""

from __future__ import annotations

__all__ = [
    "DEEPEST",
    "FIXED32",
    "FIXED64",
    "LENGTH_DELIMITED",
    "LONGEST_TAG",
    "LONGEST_VALUE",
    "VARINT",
    "field_end",
    "read_varint",
    "skip_field",
    "varint_bytes",
]

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, GROUP_END, FIXED32 = range(6)

DEEPEST = 100
"""How deep messages and groups may be within the outermost message."""

LONGEST_VALUE, LONGEST_TAG = 10, 5
"""Bytes of a varint: of a value, and of a tag or a size."""


def varint_bytes(number: int) -> bytes:
    """A number from 0 to 2^64 - 1 as a varint."""
    if number < 0x80:
        return b"%c" % number
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def read_varint(data: bytes, position: int, longest: int) -> tuple[int, int]:
    """The lowest 64 bits of a varint of at most `longest` bytes, and the position after it.

    That may lie behind the end of the message that the varint is in: its reader has to look.
    """
    try:
        byte = data[position]
        position += 1
        if byte < 0x80:
            return byte, position
        value, shift = byte & 0x7F, 7
        for position in range(position, position + longest - 1):  # noqa: B020
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position + 1
            shift += 7
    except IndexError:
        pass
    raise ValueError("it has a number without an end")


def field_end(data: bytes, position: int, end: int, wire_type: int) -> tuple[int, int]:
    """Where the content of a field begins and ends that is neither a varint nor a group."""
    if wire_type == LENGTH_DELIMITED:
        size, position = read_varint(data, position, LONGEST_TAG)
    elif wire_type in (FIXED64, FIXED32):
        size = 8 if wire_type == FIXED64 else 4
    else:
        raise ValueError(f"it has a field of the wire type {wire_type}")
    if size > end - position:
        raise ValueError("it ends in the middle of a field")
    return position, position + size


def skip_field(data: bytes, position: int, end: int, tag: int, depth: int) -> int:
    """The position after an unknown field of a message that is `depth` deep and ends at `end`.

    That may lie behind `end`: the reader of the message has to look.
    """
    if tag >> 3 == 0:
        raise ValueError("it has a field with the number 0")
    return _skip(data, position, end, tag, depth)


def _skip(data: bytes, position: int, end: int, tag: int, depth: int) -> int:
    # Within a group protobuf's own library does not mind the number 0.
    number, wire_type = tag >> 3, tag & 7
    if number >= 2**29:
        raise ValueError(f"it has a field with the number {number}")
    if wire_type == GROUP:
        return _skip_group(data, position, end, number, depth + 1)
    if wire_type != VARINT:
        return field_end(data, position, end, wire_type)[1]
    return read_varint(data, position, LONGEST_VALUE)[1]


def _skip_group(data: bytes, position: int, end: int, number: int, depth: int) -> int:
    if depth > DEEPEST:
        raise ValueError("its groups are too deep")
    while position < end:
        tag, position = read_varint(data, position, LONGEST_TAG)
        if tag & 7 == GROUP_END:
            if tag >> 3 != number:
                raise ValueError("the groups in it do not match")
            return position
        position = _skip(data, position, end, tag, depth)
    raise ValueError("it ends in the middle of a group")

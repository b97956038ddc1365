"""The fields of an encoded protobuf message, read as strictly as google.protobuf reads them.

What is cut off, has a varint without an end, a wire type or number that there is not, groups that
do not match or are too deep, or text that is not UTF-8, is no message. Unknown fields are skipped,
and so is a known number with another wire type than its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

__all__ = ["known_fields", "varint_bytes"]

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, GROUP_END, FIXED32 = range(6)
DEEPEST_GROUP = 100

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


def known_fields(
    data: bytes, texts: Collection[int], numbers: Collection[int] = ()
) -> Iterator[tuple[int, str | int]]:
    """The fields with these tags, in their order, as text or as unsigned 64-bit number.

    Raises `ValueError` for what is no message, once it comes to it.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position, LONGEST_TAG)
        if tag in texts:
            size, position = _varint(data, position, LONGEST_TAG)
            if size > end - position:
                raise ValueError("it ends in the middle of a text")
            with memoryview(data) as view:  # large texts are copied once less so
                text = str(view[position : position + size], "utf-8")
            yield tag, text
            position += size
        elif tag in numbers:
            value, position = _varint(data, position, LONGEST_VALUE)
            yield tag, value
        else:
            position = _skip(data, position, tag, 0)


def _varint(data: bytes, position: int, longest: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + longest]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + index + 1
    raise ValueError("it has a number without an end")


def _skip(data: bytes, position: int, tag: int, depth: int) -> int:
    """The position after an unknown field."""
    number, kind = tag >> 3, tag & 7
    # Within a group protobuf's own library does not mind the number 0.
    if number >= 2**29 or (number == 0 and depth == 0):
        raise ValueError(f"it has a field with the number {number}")
    if kind == VARINT:
        return _varint(data, position, LONGEST_VALUE)[1]
    if kind == GROUP:
        return _skip_group(data, position, number, depth + 1)
    if kind == LENGTH_DELIMITED:
        size, position = _varint(data, position, LONGEST_TAG)
    elif kind in (FIXED64, FIXED32):
        size = 8 if kind == FIXED64 else 4
    else:
        raise ValueError(f"it has a field of the wire type {kind}")
    if size > len(data) - position:
        raise ValueError("it ends in the middle of a field")
    return position + size


def _skip_group(data: bytes, position: int, number: int, depth: int) -> int:
    if depth > DEEPEST_GROUP:
        raise ValueError("its groups are too deep")
    while True:
        tag, position = _varint(data, position, LONGEST_TAG)
        if tag & 7 == GROUP_END:
            if tag >> 3 != number:
                raise ValueError("the groups in it do not match")
            return position
        position = _skip(data, position, tag, depth)

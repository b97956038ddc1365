"""How ChatReq and ChatRsp become bytes: strictly as protobuf says, and fast.

betterproto2 reads a message that ends in the middle of a field, or has field 1 in another wire
type, as if nothing was wrong. These functions agree with google.protobuf on every input, which
tests/test_codec.py proves: what it refuses they refuse, unknown fields are skipped, and of a
field that comes twice the last counts.
"""

from __future__ import annotations

from typing import Any

from .errors import UsageError
from .messages.service.v1 import ChatReq, ChatRsp
from .wire import ProtoCodec, frame

__all__ = ["ChatCodec", "decode_text", "encode_text", "frame_text"]

TEXT_FIELD = 0x0A
"""The tag of field 1 as text: `name` of ChatReq, `message` of ChatRsp."""

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, GROUP_END, FIXED32 = range(6)
DEEPEST_GROUP = 100

LONGEST_VALUE, LONGEST_TAG = 10, 5
"""Bytes of a varint: of a value, and of a tag or a size."""


class ChatCodec(ProtoCodec):
    """The codec of a server or channel that serves Chat; other messages go to betterproto2."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        if message_type is ChatRsp and type(message) is ChatRsp and type(message.message) is str:
            text = message.message
        elif message_type is ChatReq and type(message) is ChatReq and type(message.name) is str:
            text = message.name
        else:
            return super().encode(message, message_type)
        try:
            return encode_text(text)
        except UnicodeEncodeError:
            return super().encode(message, message_type)  # which says what is wrong

    def decode(self, data: bytes, message_type: Any) -> Any:
        try:
            if message_type is ChatReq:
                return ChatReq(name=decode_text(data))
            if message_type is ChatRsp:
                return ChatRsp(message=decode_text(data))
        except ValueError as error:
            raise self.not_valid(message_type, error) from error
        return super().decode(data, message_type)


def encode_text(text: str) -> bytes:
    """The message whose field 1 is `text`. Raises `UnicodeEncodeError`."""
    data = text.encode()
    size = len(data)
    if size < 0x80:
        return b"\x0a%c%b" % (size, data) if size else b""
    tag = bytearray((TEXT_FIELD,))
    while size >= 0x80:
        tag.append(size & 0x7F | 0x80)
        size >>= 7
    tag.append(size)
    return bytes(tag) + data


_HEADS = tuple(frame(b"\x0a%c" % size + bytes(size))[:-size] for size in range(1, 0x80))


def frame_text(text: str) -> bytes:
    """A ChatReq or ChatRsp with this text, as it goes on the wire: encoded, behind its prefix.

    Raises `UnicodeEncodeError`, and `UsageError` for what is no text.
    """
    try:
        data = text.encode()
    except AttributeError:
        raise UsageError(f"a text is a str, not {type(text).__name__}") from None
    size = len(data)
    return _HEADS[size - 1] + data if 0 < size < 0x80 else frame(encode_text(text))


def decode_text(data: bytes) -> str:
    """Field 1 of the message. Raises `ValueError` for what is no such message."""
    # Most messages are one short text and nothing else.
    if len(data) > 1 and data[0] == TEXT_FIELD and data[1] == len(data) - 2 < 0x80:
        return data[2:].decode()
    text = ""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position, LONGEST_TAG)
        if tag == TEXT_FIELD:
            size, position = _varint(data, position, LONGEST_TAG)
            if size > end - position:
                raise ValueError("it ends in the middle of a text")
            text = data[position : position + size].decode()
            position += size
        else:
            position = _skip(data, position, tag, 0)
    return text


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

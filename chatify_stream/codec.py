"""Fast encoding and decoding of ChatReq and ChatRsp.

Most messages consist of one or two short texts, which are decoded here. All others, and malformed
data, are passed to `decode_message`. tests/test_codec.py proves that the results equal those of
google.protobuf for every input.

The `frame_` functions return messages with their gRPC prefix, ready to send.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .errors import UsageError
from .messages.service.v1 import ChatReq, ChatRsp, ChatRspKind
from .wire import ProtoCodec, decode_message, frame, frame_prefix, varint_bytes

FIRST_TEXT, SECOND_TEXT = 0x0A, 0x12
"""Tags of the text fields 1 and 2: `name` and `id` of ChatReq."""
MESSAGE, SENDER, ID = 0x0A, 0x12, 0x1A
"""Tags of the text fields of ChatRsp."""


class ChatCodec(ProtoCodec):
    """A `ProtoCodec` with fast paths for ChatReq and ChatRsp."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        name = message_id = None
        if message_type is ChatReq and type(message) is ChatReq:
            name, message_id = message.name, message.id
        elif message_type is ChatRsp and type(message) is ChatRsp and _is_text(message):
            name, message_id = message.message, ""
        if type(name) is str and type(message_id) is str:
            try:
                return encode_request(name, message_id)
            except UnicodeEncodeError:
                pass
        return super().encode(message, message_type)  # raises the error with the reason

    def decode(self, data: bytes, message_type: Any) -> Any:
        try:
            if message_type is ChatReq:
                name, message_id = decode_request(data)
                return ChatReq(name=name, id=message_id)
            if message_type is ChatRsp:
                return decode_reply(data)
        except ValueError as error:
            raise self.malformed(message_type, error) from error
        return super().decode(data, message_type)


def _is_text(reply: ChatRsp) -> bool:
    """Return True if only the text is set, as in replies outside of rooms."""
    return not (reply.sender or reply.id or reply.offset or reply.sent_at_ms or reply.kind)


def encode_request(name: str, message_id: str) -> bytes:
    """Encode a ChatReq. Raises `UnicodeEncodeError`."""
    return _text_field(FIRST_TEXT, name) + _text_field(SECOND_TEXT, message_id)


def _text_field(tag: int, text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 0x80:
        return b"%c%c%b" % (tag, size, data) if size else b""
    return b"%c%b%b" % (tag, varint_bytes(size), data)


_HEADS = (frame(b""), *(frame(b"\x0a%c" % n + bytes(n))[:-n] for n in range(1, 0x80)))
"""The bytes before a text, by its size."""


def frame_text(text: str) -> bytes:
    """Encode a ChatReq or ChatRsp with only a text, with its gRPC prefix.

    Raises `UnicodeEncodeError`, and `UsageError` if `text` is not a str.
    """
    head, data = frame_text_parts(text)
    return head + data


def frame_text_parts(text: str) -> tuple[bytes, bytes]:
    """Return the result of `frame_text` in two parts, to save a copy when many are joined."""
    try:
        data = text.encode()
    except AttributeError:
        raise UsageError(f"text: a {type(text).__name__} is not allowed; pass a str") from None
    size = len(data)
    if size < 0x80:
        return _HEADS[size], data
    head = b"%c%b" % (FIRST_TEXT, varint_bytes(size))
    return frame_prefix(len(head) + size) + head, data


@lru_cache(maxsize=4096)
def _sender_field(user: str) -> bytes:
    return _text_field(SENDER, user)


def frame_publication(offset: int, user: str, text: str, message_id: str, sent_at_ms: int) -> bytes:
    """Encode a message of a room, with its gRPC prefix."""
    return frame(
        b"%b%b%b\x20%b\x28%b"
        % (
            _text_field(MESSAGE, text),
            _sender_field(user),
            _text_field(ID, message_id) if message_id else b"",
            varint_bytes(offset),
            varint_bytes(sent_at_ms),
        )
    )


def frame_presence(user: str, joined: bool) -> bytes:
    """Encode a join or leave event, with its gRPC prefix."""
    kind = ChatRspKind.JOINED if joined else ChatRspKind.LEFT
    return frame(b"%b\x30%c" % (_text_field(SENDER, user), kind))


def frame_refusal(message_id: str, reason: str) -> bytes:
    """Encode the rejection of a message, with its gRPC prefix."""
    return frame(
        b"%b%b\x30%c"
        % (_text_field(MESSAGE, reason), _text_field(ID, message_id), ChatRspKind.REFUSED)
    )


def decode_name(data: bytes) -> str:
    """Return the name of an encoded ChatReq. Raises `ValueError` if it is malformed."""
    # Most messages are a single text whose length takes one or two bytes.
    size = len(data)
    if size > 2 and data[0] == FIRST_TEXT:
        low = data[1]
        if low < 0x80:
            if low == size - 2:
                return data[2:].decode()
        elif data[2] < 0x80 and (low & 0x7F | data[2] << 7) == size - 3:
            return data[3:].decode()
    return decode_request(data)[0]


def decode_request(data: bytes) -> tuple[str, str]:
    """Return the name and id of an encoded ChatReq. Raises `ValueError` if it is malformed."""
    # Most messages are one or two short texts.
    size = len(data)
    if size > 1 and data[0] == FIRST_TEXT and data[1] < 0x80:
        end = data[1] + 2
        if end == size:
            return data[2:].decode(), ""
        if end + 2 <= size and data[end] == SECOND_TEXT and data[end + 1] == size - end - 2 < 0x80:
            return data[2:end].decode(), data[end + 2 :].decode()
    request = decode_message(data, ChatReq)
    return request.name, request.id


def decode_reply(data: bytes) -> ChatRsp:
    """Decode a ChatRsp. Raises `ValueError` if it is malformed."""
    if len(data) > 1 and data[0] == MESSAGE and data[1] == len(data) - 2 < 0x80:
        return ChatRsp(message=data[2:].decode())
    return decode_message(data, ChatRsp)

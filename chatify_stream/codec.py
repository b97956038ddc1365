"""ChatReq and ChatRsp as bytes: strictly as protobuf says, and fast.

Most messages are a short text or two, which are read here; the others, and what is no message, go
to `decode_message`. These functions agree with google.protobuf on every input, which
tests/test_codec.py proves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .errors import UsageError
from .messages.service.v1 import ChatReq, ChatRsp, ChatRspKind
from .wire import ProtoCodec, decode_message, frame, frame_prefix, varint_bytes

__all__ = [
    "ChatCodec",
    "decode_name",
    "decode_reply",
    "decode_request",
    "encode_request",
    "frame_presence",
    "frame_publication",
    "frame_refusal",
    "frame_text",
    "frame_text_parts",
]

FIRST_TEXT, SECOND_TEXT = 0x0A, 0x12
"""The tags of fields 1 and 2 as texts: `name` and `id` of ChatReq."""

MESSAGE, SENDER, ID = 0x0A, 0x12, 0x1A
"""The tags of the texts of ChatRsp."""


class ChatCodec(ProtoCodec):
    """Reads and writes Chat's messages faster; all others as `ProtoCodec` does."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        if message_type is ChatReq and type(message) is ChatReq:
            name, message_id = message.name, message.id
        elif message_type is ChatRsp and type(message) is ChatRsp and _is_text(message):
            name, message_id = message.message, ""
        else:
            return super().encode(message, message_type)
        if type(name) is str and type(message_id) is str:
            try:
                return encode_request(name, message_id)
            except UnicodeEncodeError:
                pass
        return super().encode(message, message_type)  # which says what is wrong

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
    """The reply has nothing but its text, as outside of rooms."""
    return not (reply.sender or reply.id or reply.offset or reply.sent_at_ms or reply.kind)


def encode_request(name: str, message_id: str) -> bytes:
    """A ChatReq. Raises `UnicodeEncodeError`."""
    return _text_field(FIRST_TEXT, name) + _text_field(SECOND_TEXT, message_id)


def _text_field(tag: int, text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 0x80:
        return b"%c%c%b" % (tag, size, data) if size else b""
    return b"%c%b%b" % (tag, varint_bytes(size), data)


_HEADS = (
    frame(b""),
    *(frame(b"\x0a%c" % size + bytes(size))[:-size] for size in range(1, 0x80)),
)
"""What goes before a text of so many bytes."""


def frame_text(text: str) -> bytes:
    """A ChatReq or ChatRsp with this text, as it goes on the wire: encoded, behind its prefix.

    Raises `UnicodeEncodeError`, and `UsageError` for what is no text.
    """
    head, data = frame_text_parts(text)
    return head + data


def frame_text_parts(text: str) -> tuple[bytes, bytes]:
    """What `frame_text` gives, in two parts: who joins many copies a large one once less."""
    try:
        data = text.encode()
    except AttributeError:
        raise UsageError(f"a text is a str, not {type(text).__name__}") from None
    size = len(data)
    if size < 0x80:
        return _HEADS[size], data
    head = b"%c%b" % (FIRST_TEXT, varint_bytes(size))
    return frame_prefix(len(head) + size) + head, data


@lru_cache(maxsize=4096)
def _sender_field(user: str) -> bytes:
    return _text_field(SENDER, user)


def frame_publication(offset: int, user: str, text: str, message_id: str, sent_at_ms: int) -> bytes:
    """A message of a room, as it goes on the wire."""
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
    """That a user has joined a room, or left it, as it goes on the wire."""
    kind = ChatRspKind.JOINED if joined else ChatRspKind.LEFT
    return frame(b"%b\x30%c" % (_text_field(SENDER, user), kind))


def frame_refusal(message_id: str, reason: str) -> bytes:
    """That a message was not published, as it goes on the wire."""
    return frame(
        b"%b%b\x30%c"
        % (_text_field(MESSAGE, reason), _text_field(ID, message_id), ChatRspKind.REFUSED)
    )


def decode_name(data: bytes) -> str:
    """The name of a ChatReq. Raises `ValueError` for what is no such message."""
    # Most messages are one text and nothing else, whose length takes a byte or two.
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
    """The name and the id of a ChatReq. Raises `ValueError` for what is no such message."""
    # Most messages are one short text, or two.
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
    """A ChatRsp. Raises `ValueError` for what is no such message."""
    if len(data) > 1 and data[0] == MESSAGE and data[1] == len(data) - 2 < 0x80:
        return ChatRsp(message=data[2:].decode())
    return decode_message(data, ChatRsp)

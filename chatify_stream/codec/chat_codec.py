"""The codec of servers and channels that carry Chat."""

from __future__ import annotations

from typing import Any

from ..messages.service.v1 import ChatReq, ChatRsp
from ..wire import ProtoCodec
from .messages import decode_reply, decode_request, encode_request

__all__ = ["ChatCodec"]


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
            raise self.not_valid(message_type, error) from error
        return super().decode(data, message_type)


def _is_text(reply: ChatRsp) -> bool:
    """The reply has nothing but its text, as outside of rooms."""
    return not (reply.sender or reply.id or reply.offset or reply.sent_at_ms or reply.kind)

"""How Chat's messages become bytes, and how they are read."""

from __future__ import annotations

from .chat_codec import ChatCodec
from .messages import (
    decode_name,
    decode_reply,
    decode_request,
    encode_request,
    frame_presence,
    frame_publication,
    frame_refusal,
    frame_text,
    frame_text_parts,
)

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

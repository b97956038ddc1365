"""What our side sent, read frame by frame, and held against HTTP/2 and gRPC."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

from hpack import Decoder

from chatify_stream.codec import decode_reply
from chatify_stream.wire.http2.frame_types import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    RST_STREAM,
)

from .frames import received_frames
from .watch import FaultError

__all__ = ["ServerAnswers"]

ANY_FORMAT = zlib.MAX_WBITS | 32
"""gzip or deflate, as zlib finds it."""


class ServerAnswers:
    """What a server sent. Raises `FaultError` for what no server may send."""

    def __init__(self, data: bytes) -> None:
        self.statuses: dict[int, int] = {}
        """The grpc-status of each call that has ended with one."""
        self.resets: dict[int, int] = {}
        self.goaways: list[int] = []
        self._data: dict[int, bytearray] = defaultdict(bytearray)
        self._answered: set[int] = set()
        self.pages: set[int] = set()
        """The streams that were answered with plain HTTP, and no status of gRPC."""
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = 2**32
        block = b""
        block_flags = 0
        for kind, flags, stream_id, body in received_frames(data):
            if kind in (HEADERS, CONTINUATION):
                block_flags |= flags
                block += body
                if flags & END_HEADERS:
                    self._headers(stream_id, block, ends=bool(block_flags & END_STREAM))
                    block, block_flags = b"", 0
            elif kind == DATA:
                if stream_id not in self._answered or self._is_over(stream_id):
                    raise FaultError(f"DATA out of place on stream {stream_id}")
                if flags & END_STREAM and stream_id not in self.pages:
                    raise FaultError(f"stream {stream_id} ended without trailers")
                self._data[stream_id] += body
            elif kind == RST_STREAM:
                self.resets[stream_id] = int.from_bytes(body, "big")
            elif kind == GOAWAY:
                self.goaways.append(int.from_bytes(body[4:8], "big"))

    def texts(self, stream_id: int) -> list[str]:
        """The replies on a stream of Chat, each of them compressed or not."""
        data = bytes(self._data[stream_id])
        texts = []
        while data:
            stop = 5 + int.from_bytes(data[1:5], "big")
            if len(data) < stop:
                raise FaultError(f"a message is cut off on stream {stream_id}")
            message = zlib.decompress(data[5:stop], ANY_FORMAT) if data[0] else data[5:stop]
            texts.append(decode_reply(message).message)
            data = data[stop:]
        return texts

    def _headers(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        fields: Sequence[tuple[bytes, bytes]] = self._decoder.decode(block, raw=True)
        names = dict(fields)
        if self._is_over(stream_id):
            raise FaultError(f"headers after the end of stream {stream_id}: {fields}")
        if (b":status" in names) is (stream_id in self._answered):
            raise FaultError(f"headers out of place on stream {stream_id}: {fields}")
        if names.get(b"content-type", b"").startswith(b"text/plain"):
            self.pages.add(stream_id)
        elif ends is not (b"grpc-status" in names):
            raise FaultError(f"the status is out of place on stream {stream_id}: {fields}")
        self._answered.add(stream_id)
        if b"grpc-status" in names:
            self.statuses[stream_id] = int(names[b"grpc-status"])

    def _is_over(self, stream_id: int) -> bool:
        return stream_id in self.statuses or stream_id in self.resets

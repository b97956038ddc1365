"""A member that reads and returns flow-control windows only on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hpack import Decoder, Encoder

from chatify_stream import ChatRsp, ChatServer
from chatify_stream.codec import decode_reply, encode_request
from tests.wire.raw import (
    GREETING,
    FrameClient,
    frame,
    frame_client,
    framed,
    numbered_frames_in,
    request_headers,
)

from ...support.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from .membership import CHAT, PATIENCE

__all__ = ["RawMember", "raw_member"]

LARGEST_FRAME = 16_384
INITIAL_WINDOW_SIZE = 4


class RawMember:
    """Stream 1 of a connection."""

    def __init__(self, client: FrameClient) -> None:
        self._client = client
        self._decoder = Decoder()
        self._walked = 0
        self._data = b""
        self.bytes_received = 0
        """Bytes of DATA received."""
        self.headers: list[dict[str, str]] = []
        """The response headers and the trailers."""
        self.messages: list[ChatRsp] = []
        """The complete messages."""
        self.reset: int | None = None
        """The code of RST_STREAM, or None."""
        self.is_closed = False

    @property
    def offsets(self) -> list[int]:
        return [message.offset for message in self.messages]

    @property
    def trailers(self) -> dict[str, str]:
        return self.headers[-1]

    @property
    def is_ended(self) -> bool:
        return bool(self.headers) and "grpc-status" in self.headers[-1]

    def say(self, text: str, *, times: int = 1) -> None:
        """Send messages, whether or not the server reads them."""
        data = framed(encode_request(text, "")) * times
        for start in range(0, len(data), LARGEST_FRAME):
            self._client.send(frame(DATA, 0, 1, data[start : start + LARGEST_FRAME]))

    def half_close(self) -> None:
        self._client.send(frame(DATA, END_STREAM, 1, b""))

    def grant(self, size: int, *, connection: int | None = None) -> None:
        """Return `size` bytes of window to the server."""
        for stream_id, increment in ((1, size), (0, size if connection is None else connection)):
            if increment:
                self._client.send(frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big")))

    async def read_until(self, condition: Callable[[], object]) -> None:
        """Read from the socket until the condition is true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                assert not self.is_closed, f"closed after {self.headers}, {self.offsets}"
                await self.read()

    async def read(self) -> None:
        """Read once, and process the frames."""
        if not await self._client._read():
            self.is_closed = True
            return
        frames = numbered_frames_in(self._client.received)
        for kind, stream_id, body in frames[self._walked :]:
            if kind == DATA and stream_id == 1:
                self.bytes_received += len(body)
                self._data += body
                self._cut()
            elif kind == HEADERS and stream_id == 1:
                self.headers.append(dict(self._decoder.decode(body)))
            elif kind == RST_STREAM and stream_id == 1:
                self.reset = int.from_bytes(body, "big")
        self._walked = len(frames)

    def _cut(self) -> None:
        while len(self._data) >= 5:
            end = 5 + int.from_bytes(self._data[1:5], "big")
            if len(self._data) < end:
                break
            self.messages.append(decode_reply(self._data[5:end]))
            self._data = self._data[end:]


@asynccontextmanager
async def raw_member(
    server: ChatServer,
    *,
    window: int = 65_535,
    connection: int = 0,
    timeout: str | None = None,
    **metadata: str,
) -> AsyncIterator[RawMember]:
    """Join the lobby.

    `window` is the initial window of a stream, `connection` an addition to the connection's window,
    both in bytes. `timeout` is a value of `grpc-timeout`.
    """
    settings = frame(
        SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + window.to_bytes(4, "big")
    )
    async with frame_client(server.port, GREETING + settings) as client:
        member = RawMember(client)
        if connection:
            client.send(frame(WINDOW_UPDATE, 0, 0, connection.to_bytes(4, "big")))
        keys = {f"chat_{key}": value for key, value in ({"room": "lobby"} | metadata).items()}
        headers = request_headers(CHAT, grpc_timeout=timeout, **keys)
        fields = [(name, value, True) for name, value in headers]
        client.send(frame(HEADERS, END_HEADERS, 1, Encoder().encode(fields)))
        await member.read_until(lambda: member.headers)
        yield member

"""The connection of somebody who means harm: frames written by hand, and all that comes read.

What comes is kept by what it says, not whole, so that a thousand of these fit into one process.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from grpclib.const import Status
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder

from chatify_stream.server.services.chat import CHAT_PATHS

from ..support.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from ..wire.raw import GREETING, frame, framed, request_headers

__all__ = [
    "WIDE",
    "Attacker",
    "attacker",
    "call",
    "message",
    "request",
    "setting",
    "settings",
    "u32",
]


PATIENCE = 120.0
"""Seconds: the longest time of the server's defaults is a minute."""

CHUNK = 64 * 1024
"""Bytes of a flood that are sent at a time."""


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def setting(code: int, value: int) -> bytes:
    return code.to_bytes(2, "big") + u32(value)


def settings(**values: int) -> bytes:
    """A SETTINGS frame: `window` is INITIAL_WINDOW_SIZE."""
    codes = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5}
    return frame(SETTINGS, 0, 0, b"".join(setting(codes[key], n) for key, n in values.items()))


WIDE = settings(window=2**30) + frame(WINDOW_UPDATE, 0, 0, u32(2**30))
"""Windows that never close."""


FRAME_SIZE = 16384


def call(
    stream_id: int, *more: tuple[str, str], ends: bool = False, path: str = CHAT_PATHS[0]
) -> bytes:
    """The headers of a Chat call, by themselves: they use nothing that was sent before."""
    fields = [(name, value, True) for name, value in [*request_headers(path), *more]]
    flags = END_HEADERS | (END_STREAM if ends else 0)
    return frame(HEADERS, flags, stream_id, Encoder().encode(fields))


def message(stream_id: int, text: bytes = b"Ada", *, ends: bool = False) -> bytes:
    """A ChatReq, in frames of HTTP/2's default size."""
    return data(stream_id, request(text), ends=ends)


def request(text: bytes, message_id: str = "") -> bytes:
    """A ChatReq with its prefix."""
    body = b"\x0a" + _varint(len(text)) + text
    if message_id:
        body += b"\x12" + _varint(len(message_id)) + message_id.encode()
    return framed(body)


def data(stream_id: int, body: bytes, *, ends: bool = False) -> bytes:
    """DATA frames of HTTP/2's default size."""
    starts = range(0, len(body), FRAME_SIZE)
    return b"".join(
        frame(DATA, END_STREAM if ends and start == starts[-1] else 0, stream_id, part)
        for start in starts
        for part in (body[start : start + FRAME_SIZE],)
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


class Attacker(asyncio.Protocol):
    """One connection. It answers nothing by itself, not even a PING."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._rest = b""
        self._decoder = Decoder(2**31)
        self.answers_pings = False
        self.read_otherwise: Callable[[bytes], object] | None = None
        """Takes what comes, where that is not HTTP/2."""
        self.is_lost = False
        self.goaways: list[str] = []
        self.ends: dict[int, str] = {}
        """By stream: the status or the reset that has ended it."""
        self.headers: dict[int, list[dict[str, str]]] = {}
        """By stream: headers and trailers."""
        self.received: dict[int, int] = {}
        """By stream: bytes of data."""
        self.frames = self.bytes = 0
        """That have come."""
        self._initial_window = 65535
        self._windows = {0: 65535}

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._writable.set()
        self._changed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.read_otherwise is None:
            self._read(data)
        else:
            self.read_otherwise(data)
        self._changed.set()

    def _read(self, data: bytes) -> None:
        data = self._rest + data
        position = 0
        while len(data) - position >= 9:
            stop = position + 9 + int.from_bytes(data[position : position + 3], "big")
            if stop > len(data):
                break
            stream_id = int.from_bytes(data[position + 5 : position + 9], "big")
            self._frame(
                data[position + 3], data[position + 4], stream_id, data[position + 9 : stop]
            )
            position = stop
        self._rest = data[position:]

    def _frame(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        self.frames += 1
        if kind == DATA:
            self.received[stream_id] = self.received.get(stream_id, 0) + len(body)
        elif kind == HEADERS:
            fields = {str(name): str(value) for name, value in self._decoder.decode(body)}
            self.headers.setdefault(stream_id, []).append(fields)
            if flags & END_STREAM:
                http = "" if fields.get(":status", "200") == "200" else f"{fields[':status']} "
                self.ends[stream_id] = http + Status(int(fields["grpc-status"])).name
        elif kind == RST_STREAM:
            # A reset after the trailers says that the rest of the requests is not wanted.
            name = f"RST_STREAM {ErrorCodes(int.from_bytes(body, 'big')).name}"
            self.ends.setdefault(stream_id, name)
        elif kind == GOAWAY:
            name = ErrorCodes(int.from_bytes(body[4:8], "big")).name
            self.goaways.append(f"GOAWAY {name} {body[8:].decode()}".rstrip())
        elif kind == SETTINGS and not flags:
            codes = [body[start : start + 6] for start in range(0, len(body), 6)]
            values = {each[1]: int.from_bytes(each[2:], "big") for each in codes}
            self._initial_window = values.get(4, self._initial_window)
        elif kind == WINDOW_UPDATE:
            window = self._windows.get(stream_id, self._initial_window)
            self._windows[stream_id] = window + int.from_bytes(body, "big")
        elif kind == PING and not flags and self.answers_pings:
            self.write(frame(PING, 1, 0, body))

    # what the attacks do

    def another(self, greeting: bytes = GREETING) -> AbstractAsyncContextManager[Attacker]:
        """One more connection to the same port, from the same address, in the clear."""
        address, _ = self.transport.get_extra_info("sockname")
        _, port = self.transport.get_extra_info("peername")
        return attacker(port, greeting, address=address)

    def write(self, *frames: bytes) -> None:
        """Sends without waiting."""
        if not self.is_lost and not self.transport.is_closing():
            self.transport.write(b"".join(frames))

    async def send(self, *frames: bytes) -> None:
        """Sends, and waits while the server takes no more."""
        self.write(*frames)
        await self._writable.wait()

    async def flood(self, frames: bytes, times: int) -> None:
        """Sends the same frames so often, or until the server has had enough."""
        at_once = max(1, CHUNK // len(frames))
        while times > 0 and not self.is_over:
            await self.send(frames * min(at_once, times))
            times -= at_once
            await asyncio.sleep(0)

    async def flood_within_windows(self, stream_id: int, body: bytes, times: int) -> None:
        """Sends the same data so often, as fast as the server takes it."""
        for _ in range(times):
            await self.send_within_windows(stream_id, body)

    async def send_within_windows(self, stream_id: int, body: bytes) -> None:
        """Sends data, in frames of HTTP/2's default size, as the server takes it."""
        await self.until(lambda: self.frames > 0)  # its SETTINGS
        self._windows.setdefault(stream_id, self._initial_window)
        for start in range(0, len(body), FRAME_SIZE):
            part = body[start : start + FRAME_SIZE]
            while not self.is_over and stream_id not in self.ends:
                if min(self._windows[0], self._windows[stream_id]) >= len(part):
                    break
                self._changed.clear()
                await self._changed.wait()
            self._windows[0] -= len(part)
            self._windows[stream_id] -= len(part)
            await self.send(frame(DATA, 0, stream_id, part))

    async def drip(self, data: bytes, every: float) -> None:
        """Sends a byte now and then, until the server has had enough."""
        for byte in data:
            if self.is_over:
                return
            await self.send(bytes([byte]))
            await self.until(lambda: self.is_over, every, fails=False)

    @property
    def is_writable(self) -> bool:
        return self._writable.is_set()

    @property
    def is_over(self) -> bool:
        return self.is_lost or bool(self.goaways)

    async def until(
        self, condition: Callable[[], bool], timeout: float = PATIENCE, *, fails: bool = True
    ) -> None:
        """Waits for what the server has sent to make the condition true."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            if fails:
                raise AssertionError(f"waited in vain: {self}") from None

    async def end(self) -> str:
        """How the server ends the connection."""
        await self.until(lambda: self.is_lost)
        angry = [each for each in self.goaways if "NO_ERROR" not in each]
        said = [*angry, *self.goaways]
        return said[0] if said else "closed"

    async def answer(self, stream_id: int) -> str:
        """How the server ends the stream: a gRPC status, or a RST_STREAM."""
        await self.until(lambda: stream_id in self.ends or self.is_lost)
        assert stream_id in self.ends, f"the connection ended: {self}"
        return self.ends[stream_id]

    async def answers(self, stream_ids: range) -> str:
        """How it ends all of these; in one word when that is the same way."""
        seen = {await self.answer(stream_id) for stream_id in stream_ids}
        return ", ".join(sorted(seen))

    def text(self, stream_id: int) -> str:
        """What the status says."""
        return self.headers[stream_id][-1].get("grpc-message", "")

    async def pong(self) -> None:
        """Waits until the server has read all that was sent, and answers."""
        before = self.frames
        await self.send(frame(PING, 0, 0, b"are you?"))
        await self.until(lambda: self.frames > before or self.is_lost)
        assert not self.is_lost, f"the connection ended: {self}"

    def __repr__(self) -> str:
        ends = dict(list(self.ends.items())[:5])
        return f"lost: {self.is_lost}, {self.goaways}, {ends}, {self.frames} frames"


@asynccontextmanager
async def attacker(
    port: int,
    greeting: bytes = GREETING,
    *,
    address: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Attacker]:
    """Connects, from an address and with TLS if there is a context.

    Leaves with a reset, so that no port of this machine is held for long.
    """
    _, connected = await asyncio.get_running_loop().create_connection(
        Attacker, "127.0.0.1", port, local_addr=(address, 0), ssl=context
    )
    try:
        connected.write(greeting)
        yield connected
    finally:
        if not connected.is_lost:
            connected.transport.abort()

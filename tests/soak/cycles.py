"""What clients do to a server all day: connect, call, leave in every way there is."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from hpack import Encoder

from chatify_stream import Channel
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
from ..test_leaks import use
from ..wire.raw import GREETING, FrameClient, frame, frame_client, framed, request_headers

__all__ = ["CYCLES", "reply"]

CANCEL = (8).to_bytes(4, "big")
NEVER = (0).to_bytes(4, "big")
ABORT = struct.pack("ii", 1, 0)

Cycle = Callable[[int, random.Random], Awaitable[None]]
CYCLES: dict[str, Cycle] = {}
"""By name; each gets the server's port."""


def reply(name: str) -> str:
    """The server's: long answers for who reads none, and a failure for who asks for it."""
    if name == "fail":
        raise RuntimeError(name)
    return name * 1000 if name == "much" else name


def cycle(function: Cycle) -> Cycle:
    CYCLES[function.__name__] = function
    return function


def headers(stream_id: int, path: str = CHAT_PATHS[0], flags: int = 0) -> bytes:
    fields = [(name, value, True) for name, value in request_headers(path)]
    return frame(HEADERS, END_HEADERS | flags, stream_id, Encoder().encode(fields))


def message(stream_id: int, text: str = "Ada", flags: int = 0) -> bytes:
    data = text.encode()
    return frame(DATA, flags, stream_id, framed(b"\x0a" + bytes([len(data)]) + data))


@asynccontextmanager
async def client(port: int, greeting: bytes = GREETING) -> AsyncIterator[FrameClient]:
    """A connection that ends with a reset, if it is still open, and so takes no port for long."""
    async with frame_client(port, greeting) as connected:
        yield connected
        transport = connected.writer.transport
        sock = transport.get_extra_info("socket")
        if not transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            transport.abort()


@cycle
async def connect_and_close(port: int, chance: random.Random) -> None:
    async with client(port, chance.choice((b"", GREETING[:7], GREETING))):
        await asyncio.sleep(0)


@cycle
async def open_and_cancel(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        for stream_id in range(1, 2 * chance.randrange(1, 20), 2):
            peer.send(headers(stream_id), frame(RST_STREAM, 0, stream_id, CANCEL))
        peer.send(headers(101), message(101, flags=END_STREAM))
        await peer.wait_for(HEADERS, 101, 1)


@cycle
async def open_send_and_reset(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        for stream_id in (1, 3, 5):
            peer.send(headers(stream_id), message(stream_id) * chance.randrange(20))
            if chance.random() < 0.5:
                peer.send(message(stream_id))
                await peer.wait_for(DATA, stream_id)
            peer.send(frame(RST_STREAM, 0, stream_id, CANCEL), message(stream_id))


@cycle
async def half_close(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        for stream_id in (1, 3, 5):
            peer.send(headers(stream_id), message(stream_id), message(stream_id, flags=END_STREAM))
            await peer.wait_for(HEADERS, stream_id, 1)


@cycle
async def good_order(port: int, chance: random.Random) -> None:
    async with frame_client(port) as peer:
        peer.send(headers(1), message(1, flags=END_STREAM))
        await peer.wait_for(HEADERS, 1, 1)
        peer.send(frame(GOAWAY, 0, 0, bytes(8)))
        await peer.wait_closed()


@cycle
async def errors(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        peer.send(headers(1, "/no.Such/Method", END_STREAM))
        peer.send(headers(3), message(3, "fail"))
        peer.send(headers(5), frame(DATA, END_STREAM, 5, framed(b"\xff\xff")))
        peer.send(headers(7), frame(DATA, 0, 7, bytes([7]) * 10))
        peer.send(headers(9), frame(DATA, END_STREAM, 9, b"\0\0"))
        for stream_id, which in ((1, 0), (3, 0), (5, 0), (7, 0), (9, 0)):
            await peer.wait_for(HEADERS, stream_id, which)


@cycle
async def wrong_frames(port: int, chance: random.Random) -> None:
    wrong = chance.choice(
        (
            frame(DATA, 0, 0, b"a"),
            frame(WINDOW_UPDATE, 0, 1, NEVER),
            frame(HEADERS, END_HEADERS, 3, b"\xff\xff\xff\xff\xff"),
            frame(SETTINGS, 0, 1, b""),
            frame(PING, 0, 0, b"short"),
            b"\xff" * 30,
        )
    )
    async with client(port) as peer:
        peer.send(headers(1), message(1), wrong)
        await peer.wait_for(GOAWAY)
        await peer.wait_closed()


@cycle
async def another_protocol(port: int, chance: random.Random) -> None:
    async with client(port, b"GET / HTTP/1.1\r\n\r\n") as peer:
        await peer.wait_closed()


@cycle
async def goaway_in_anger(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        peer.send(headers(1), message(1), frame(GOAWAY, 0, 0, bytes(7) + b"\x02"))
        await peer.wait_closed()


@cycle
async def close_in_a_frame(port: int, chance: random.Random) -> None:
    data = headers(1) + message(1) * 3 + headers(3)
    async with client(port) as peer:
        peer.send(data[: chance.randrange(len(data))])
        await peer.wait_for(SETTINGS)


@cycle
async def unread_answers(port: int, chance: random.Random) -> None:
    wide = frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(
        WINDOW_UPDATE, 0, 0, b"\x7f\0\0\0"
    )
    async with client(port) as peer:
        peer.writer.transport.pause_reading()
        peer.send(wide, headers(1), message(1, "much") * 200)
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)


@cycle
async def closed_windows(port: int, chance: random.Random) -> None:
    async with client(port) as peer:
        peer.send(frame(SETTINGS, 0, 0, b"\0\4" + NEVER))
        peer.send(headers(1), message(1) * 5, headers(3), message(3, flags=END_STREAM))
        await peer.wait_for(HEADERS, 3)
        if chance.random() < 0.5:
            peer.send(frame(RST_STREAM, 0, 1, CANCEL))


@cycle
async def our_own_client(port: int, chance: random.Random) -> None:
    async with Channel("127.0.0.1", port) as channel:
        for _ in range(chance.randrange(1, 4)):
            task = asyncio.create_task(use(channel, chance))
            await asyncio.wait([task])  # which may cancel itself
            if not task.cancelled():
                task.result()

"""Peers made of h2 or of hand-written frames, which send data that no gRPC library would."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import UnionType
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, StreamEnded, TrailersReceived

from ..support.frames import GOAWAY, SETTINGS, frame
from ..support.waiting import TIMEOUT
from .services import Answer

__all__ = [
    "GREETING",
    "ClosedByPeer",
    "FrameClient",
    "RawClient",
    "answers",
    "frame",
    "frame_client",
    "framed",
    "raw_client",
    "request_headers",
]


class ClosedByPeer(AssertionError):
    """The connection was closed before the expected data arrived."""


def framed(data: bytes, *, compressed: bool = False) -> bytes:
    """Return a gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(data)) + data


def request_headers(path: str = "/test.Echo/Echo", **changes: str | None) -> list[tuple[str, str]]:
    """Return the headers of a call. In `changes`, `_` is `-`, `__` is `:`, None removes."""
    headers: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    for name, value in changes.items():
        headers[name.replace("__", ":").replace("_", "-")] = value
    return [(name, value) for name, value in headers.items() if value is not None]


GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")


def numbered_frames_in(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return type, stream and body of every complete frame."""
    frames = []
    while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
        size = int.from_bytes(data[:3], "big")
        frames.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return frames


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """Return type and body of every complete frame."""
    return [(kind, body) for kind, _, body in numbered_frames_in(data)]


class RawClient:
    """An HTTP/2 client connection that keeps every event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.events: list[Event] = []
        self.received = b""
        self.closed = False

    def flush(self) -> None:
        """Send everything that h2 has pending, in one write."""
        self.writer.write(self.h2.data_to_send())

    def send_raw(self, data: bytes) -> None:
        self.writer.write(self.h2.data_to_send() + data)

    async def wait_for(self, kind: type[Event] | UnionType, stream_id: int | None = None) -> Any:
        """Return the first event of this type on the stream. Wait for it if necessary."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and stream_id in (
                        None,
                        getattr(event, "stream_id", None),
                    ):
                        return event
                if self.closed:
                    raise ClosedByPeer(f"closed without {kind}: {self.events}")
                await self._read()

    async def wait_for_frame(self, kind: int, which: int = 0) -> bytes:
        """Return the body of a frame of this type: the first, or the one with index `which`."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                found = [body for each, body in frames_in(self.received) if each == kind]
                if len(found) > which:
                    return found[which]
                if self.closed:
                    raise ClosedByPeer(f"closed without frame {kind}: {self.received!r}")
                await self._read()

    def _without_goaway(self, data: bytes) -> bytes:
        """Let h2 continue after a graceful GOAWAY, as real peers do."""
        graceful = frame(GOAWAY, 0, 0, (2**31 - 1).to_bytes(4, "big") + bytes(4))
        return data.replace(graceful, b"")

    async def wait_closed(self) -> None:
        """Read until the server closes the connection."""
        async with asyncio.timeout(TIMEOUT):
            while not self.closed:
                await self._read()

    async def _read(self) -> None:
        try:
            data = await self.reader.read(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self.received += data
        events = self.h2.receive_data(self._without_goaway(data))
        for event in events:
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += events
        self.flush()

    def data_of(self, stream_id: int) -> bytes:
        """Return all DATA received on the stream."""
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == stream_id
        )


async def answers(client: RawClient, stream_id: int) -> tuple[list[str], str]:
    """Wait for the end of the stream. Return the texts of all answers and the status."""
    await client.wait_for(StreamEnded, stream_id)
    trailers = dict((await client.wait_for(TrailersReceived, stream_id)).headers)
    data = client.data_of(stream_id)
    texts = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        texts.append(Answer.parse(data[5 : 5 + size]).name)
        data = data[5 + size :]
    return texts, trailers["grpc-status"]


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    client.h2.initiate_connection()
    client.flush()
    try:
        yield client
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass  # the server was first


class FrameClient:
    """A connection for hand-written frames. Nothing is answered automatically."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def wait_for(self, kind: int, stream_id: int = 0, which: int = 0) -> bytes:
        """Return the body of a frame of this type: the first, or the one with index `which`."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                found = [
                    body
                    for each, stream, body in numbered_frames_in(self.received)
                    if (each, stream) == (kind, stream_id)
                ]
                if len(found) > which:
                    return found[which]
                if not await self._read():
                    raise ClosedByPeer(f"closed without frame {kind}: {self.received!r}")

    async def wait_closed(self) -> None:
        """Read until the server closes or resets the connection."""
        async with asyncio.timeout(TIMEOUT):
            while await self._read():
                pass

    async def _read(self) -> bool:
        try:
            data = await self.reader.read(65536)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)


@asynccontextmanager
async def frame_client(port: int, greeting: bytes = GREETING) -> AsyncIterator[FrameClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = FrameClient(reader, writer)
    client.send(greeting)
    try:
        yield client
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass  # the server was first

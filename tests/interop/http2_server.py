"""A server of h2 alone, which sends what a script says, and keeps count of what a client does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    WindowUpdated,
)
from h2.settings import SettingCodes

from ..support.frames import GOAWAY
from ..support.waiting import TIMEOUT
from ..wire.raw import frame, framed

__all__ = ["Connection", "Http2Server", "Incoming", "Script", "http2_server"]


FRAME = 16_384
"""Bytes of a DATA frame, unless the script says otherwise."""


class Incoming:
    """One call, as the server sees it."""

    def __init__(self, connection: Connection, stream_id: int) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self._data = bytearray()
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def receive(self) -> bytes | None:
        """The next message; None at the end of the requests."""
        return await self._messages.get()

    def send_headers(self) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        self.connection.h2.send_headers(self.stream_id, headers)
        self.connection.flush()

    async def send_message(self, message: bytes) -> None:
        await self.send_data(framed(message))

    async def send_data(
        self, data: bytes, *, size: int = FRAME, padding: int | None = None
    ) -> None:
        """Sends frames of `size` bytes, padded or not, as the client's window allows."""
        cost = 0 if padding is None else padding + 1
        for start in range(0, len(data), size):
            part = data[start : start + size]
            await self.connection.window(self.stream_id, len(part) + cost)
            self.connection.h2.send_data(self.stream_id, part, pad_length=padding)
            self.connection.flush()

    def send_trailers(self) -> None:
        self.connection.h2.send_headers(self.stream_id, [("grpc-status", "0")], end_stream=True)
        self.connection.flush()

    def reset(self) -> None:
        """RST_STREAM with error code 0."""
        self.connection.h2.reset_stream(self.stream_id, 0)
        self.connection.flush()

    def feed(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 5:
            end = 5 + int.from_bytes(self._data[1:5], "big")
            if len(self._data) < end:
                return
            self._messages.put_nowait(bytes(self._data[5:end]))
            del self._data[:end]

    def end(self) -> None:
        self._messages.put_nowait(None)


Script = Callable[[Incoming], Coroutine[None, None, None]]


class Connection:
    """One connection, whose every call is answered as the script says."""

    def __init__(self, script: Script, writer: asyncio.StreamWriter) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.pings: list[bytes] = []
        """Those that the client has not answered yet."""
        self.most_calls = 0
        """How many were open at once, at the most."""
        self._script = script
        self._writer = writer
        self._calls: dict[int, Incoming] = {}
        self._window_updated = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        """The client has closed it."""
        return self._closed.is_set()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def send_goaway(self, last_stream_id: int) -> None:
        """GOAWAY with error code 0. h2 does not know of it: it would not go on after it."""
        body = last_stream_id.to_bytes(4, "big") + bytes(4)
        self._writer.write(self.h2.data_to_send() + frame(GOAWAY, 0, 0, body))

    def send_ping(self, text: str) -> None:
        data = text.encode().ljust(8)
        self.pings.append(data)
        self.h2.ping(data)
        self.flush()

    async def window(self, stream_id: int, size: int) -> None:
        """Waits until the client takes so many bytes."""
        while self.h2.local_flow_control_window(stream_id) < size:
            self._window_updated.clear()
            await self._window_updated.wait()

    async def wait_closed(self) -> None:
        """Waits until the client has closed it."""
        async with asyncio.timeout(TIMEOUT):
            await self._closed.wait()

    async def run(self, reader: asyncio.StreamReader, max_streams: int | None) -> None:
        self.h2.initiate_connection()
        if max_streams is not None:
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: max_streams})
        self.flush()
        scripts: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                with suppress(ConnectionError):  # the client may leave before it has read all
                    while data := await reader.read(65536):
                        for event in self.h2.receive_data(data):
                            if isinstance(event, RequestReceived):
                                call = self._begin(event)
                                scripts.append(group.create_task(self._script(call)))
                            else:
                                self._handle(event)
                        self.flush()
                for script in scripts:
                    script.cancel()
        finally:
            self._closed.set()
            self._writer.close()

    def _begin(self, event: RequestReceived) -> Incoming:
        self.most_calls = max(self.most_calls, self.h2.open_inbound_streams)
        self._calls[event.stream_id] = call = Incoming(self, event.stream_id)
        return call

    def _handle(self, event: Event) -> None:
        match event:
            case DataReceived(stream_id=stream_id, data=data):
                self._calls[stream_id].feed(data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
            case StreamEnded(stream_id=stream_id):
                self._calls[stream_id].end()
            case PingAckReceived(ping_data=data):
                assert data == self.pings.pop(0)
            case WindowUpdated():
                self._window_updated.set()


@dataclass
class Http2Server:
    port: int
    connections: list[Connection] = field(default_factory=list)
    """All that there were."""


@asynccontextmanager
async def http2_server(
    script: Script, *, max_streams: int | None = None
) -> AsyncIterator[Http2Server]:
    """Raises at its end what went wrong on the server's side."""
    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(script, writer)
        server.connections.append(connection)
        tasks.append(asyncio.create_task(connection.run(reader, max_streams)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server = Http2Server(listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*tasks)

"""A network in memory and a clock that jumps, so that inputs run fast and always the same way.

`MemoryLoop` is asyncio's loop but for two things. Its time passes only when nothing else is left
to do, and then at once. And its servers and connections are pipes in this process, whose ends
behave as asyncio's own transports do.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

__all__ = ["End", "HungError", "MemoryLoop"]

TURN = 1e-6
"""Seconds that a turn of the loop takes: its timers are never due at a time that it cannot tell
from now."""

MOST_TURNS = 20_000
"""Of the loop, one after the other, for an input to come to rest."""


class HungError(BaseException):
    """The loop does not come to rest, or waits for what cannot come. Nobody shall catch this."""


class End(asyncio.Transport):
    """The end of a pipe that a protocol has; the other methods are for whoever is at the far end.

    What is written goes to `to_far_end`, or else stands in `received`; it waits while the far end
    does not read.
    """

    def __init__(
        self,
        loop: MemoryLoop,
        protocol: asyncio.BufferedProtocol,
        to_far_end: Callable[[bytes], object] | None = None,
        on_closed: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__({"peername": ("127.0.0.1", 12345)})
        self._loop = loop
        self.protocol = protocol
        self.received = bytearray()
        self._to_far_end = to_far_end or self.received.extend
        self._on_closed = on_closed
        self._unread = bytearray()
        self._unheard: list[bytes] = []
        self.most_unread = 64 * 1024
        """Bytes that may wait for the far end before the protocol is told to pause."""
        self._is_far_end_reading = True
        self._is_reading = True
        self._is_closing = False
        self._is_eof_written = False
        self._is_paused = False
        self.is_lost = False
        """The protocol knows that the connection is gone."""
        protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        if self._is_eof_written:
            raise RuntimeError("write() after write_eof()")
        if not isinstance(data, bytes):
            raise TypeError(type(data))
        if self.is_lost or self._is_closing:
            return
        if self._is_far_end_reading:
            self._to_far_end(data)
            return
        self._unread += data
        if len(self._unread) > self.most_unread and not self._is_paused:
            self._is_paused = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self._unread)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._is_eof_written = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._unread:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._is_closing = True
        self._unread.clear()
        self._loop.call_soon(self._lose, None)

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._loop.call_soon(self._hear)

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = self._is_closing = True
            self.protocol.connection_lost(error)
            self._on_closed()

    def _hear(self) -> None:
        while self._unheard and self._is_reading and not self._is_closing:
            data = self._unheard.pop(0)
            if data:
                self._receive(data)
            elif not self.protocol.eof_received():
                self.close()

    def _receive(self, data: bytes) -> None:
        while data:
            buffer = self.protocol.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size], data = data[:size], data[size:]
            self.protocol.buffer_updated(size)

    # The far end.

    def feed(self, data: bytes) -> None:
        """Sends bytes, which arrive in the loop's next turn."""
        if data:
            self._unheard.append(data)
            self._loop.call_soon(self._hear)

    def hang_up(self) -> None:
        """Ends the connection in good order."""
        self._unheard.append(b"")
        self._loop.call_soon(self._hear)

    def reset(self) -> None:
        """Ends the connection at once."""
        self._loop.call_soon(self._lose, ConnectionResetError())

    def stop_reading(self) -> None:
        self._is_far_end_reading = False

    def go_on_reading(self) -> None:
        self._is_far_end_reading = True
        data = bytes(self._unread)
        self._unread.clear()
        self._to_far_end(data)
        if self._is_paused:
            self._is_paused = False
            self.protocol.resume_writing()
        if self._is_closing and not self.is_lost:
            self._loop.call_soon(self._lose, None)


class _Listener:
    """What `create_server` returns."""

    sockets = ()

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget

    def close(self) -> None:
        self._forget()


class _Clock(selectors.SelectSelector):
    """Whatever the loop would wait for has come at once, or is a moment that it jumps to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.idle: asyncio.Future[float | None] | None = None
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += TURN
        if timeout == 0:
            self._turns += 1
            if self._turns > MOST_TURNS:
                self._turns = 0
                raise HungError("the loop does not come to rest")
            return []
        self._turns = 0
        if self.idle is not None:
            idle, self.idle = self.idle, None
            idle.set_result(timeout)
        elif timeout is None:
            raise HungError("all wait, and nothing can come")
        else:
            self.now += timeout
        return []


class MemoryLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)
        self._listening: dict[int, Callable[[], asyncio.BufferedProtocol]] = {}
        self._answering: dict[int, Callable[[End], object]] = {}

    def time(self) -> float:
        return self._virtual.now

    async def idle(self) -> float | None:
        """Waits until nothing can happen but by time; says after how many seconds, None: never."""
        self._virtual.idle = self.create_future()
        return await self._virtual.idle

    async def create_server(  # type: ignore[override]
        self, factory: Callable[[], asyncio.BufferedProtocol], host: Any, port: int, **options: Any
    ) -> _Listener:
        self._listening[port] = factory
        return _Listener(lambda: self._listening.pop(port))

    def connect(self, port: int) -> End:
        """Connects to a server here, by hand; the server's end is returned."""
        return End(self, self._listening[port]())

    def answer(self, port: int, connected: Callable[[End], object]) -> None:
        """The next who connects to the port is served by hand, with its end of the pipe."""
        self._answering[port] = connected

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.BufferedProtocol], host: Any, port: int, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.BufferedProtocol]:
        connected = self._answering.pop(port, None)
        if connected is not None:
            end = End(self, factory())
            connected(end)
            return end, end.protocol
        if port not in self._listening:
            raise ConnectionRefusedError(111, "Connection refused")
        early: list[bytes] = []
        theirs: list[End] = []

        def to_server(data: bytes) -> None:
            if theirs:
                theirs[0].feed(data)
            else:
                early.append(data)

        ours = End(self, factory(), to_server, lambda: theirs and theirs[0].hang_up())
        theirs.append(End(self, self._listening[port](), ours.feed, ours.hang_up))
        for data in early:
            theirs[0].feed(data)
        return ours, ours.protocol

"""The state that all streams of one HTTP/2 connection share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from h2.connection import ConnectionState
from h2.errors import ErrorCodes

from ...limits import Limits
from ..grpclib_internals import Configuration
from ..http2.frame_types import goaway
from ..http2.h2_connection import WireH2
from .fair_share import FairShare
from .memory_budget import MemoryBudget
from .write_buffer import WriteBuffer


def _windows(stream: int, connection: int) -> Configuration:
    """Set the bytes that may wait for the reader of one stream, and of all streams together."""
    return Configuration(http2_stream_window_size=stream, http2_connection_window_size=connection)


SERVER_CONFIG = _windows(512 * 1024, 1024 * 1024)
"""Messages of a few bytes take seven times as much memory as they take of the window."""

CHANNEL_CONFIG = _windows(4 * 1024 * 1024, 16 * 1024 * 1024)
"""A client has chosen its server, and may send long before it reads."""

MAX_UNCREDITED = 1024 * 1024
"""Bytes of messages larger than their windows, beside one message of the maximum size."""

MAX_UNSENT = 2 * 1024 * 1024
"""Bytes of replies that may wait to be sent before no call receives another message."""


@dataclass(eq=False, repr=False, slots=True)
class LeanEvent:
    """An `asyncio.Event` that needs little memory while no task waits for it.

    `asyncio.Event` allocates a queue of 700 bytes, and each stream has several events.
    """

    _is_set: bool = False
    _waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> bool:
        if self._is_set:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters = self._waiters or []
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)
        return True


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    _write_buffer: WriteBuffer

    def addr(self) -> Any:
        """Return the remote address as sockets give it: host and port first, or a path."""
        return self._write_buffer.get_extra_info("peername")

    def cert(self) -> dict[str, Any] | None:
        """Return the peer's certificate as `ssl.SSLSocket.getpeercert` does, or None."""
        ssl_object = self._write_buffer.get_extra_info("ssl_object")
        certificate: dict[str, Any] | None = ssl_object and ssl_object.getpeercert()
        return certificate

    def tls_version(self) -> str | None:
        """Return the version, such as "TLSv1.3", or None without TLS."""
        ssl_object = self._write_buffer.get_extra_info("ssl_object")
        return None if ssl_object is None else str(ssl_object.version())


class SharedStream(Protocol):
    id: int
    inbox: Any
    window_updated: LeanEvent


@dataclass(eq=False, repr=False)
class WireConnection:
    h2: WireH2
    write_buffer: WriteBuffer
    limits: Limits
    fair_share: FairShare
    _on_release: Callable[[], None]
    """Called when a call is over and its stream was removed from `streams`."""
    peer: Peer = field(init=False)
    memory_budget: MemoryBudget = field(default_factory=MemoryBudget)
    peer_error: str | None = None
    """How the peer violated HTTP/2."""
    peer_excess: str | None = None
    """The limit that the peer exceeded."""
    goaway: str | None = None
    """The reason in the peer's GOAWAY with an error."""
    is_going_away: bool = False
    """The peer accepts no new calls on this connection."""
    streams: dict[int, Any] = field(default_factory=dict)
    """The streams whose calls are not over, by id. Each is a `CallStream`."""
    is_full: bool = False
    """No further stream may be opened until one of them ends, or until the end of the read."""
    write_ready: LeanEvent = field(default_factory=lambda: LeanEvent(True))
    """Set unless the transport's buffer is full."""
    stream_closed: LeanEvent = field(default_factory=LeanEvent)
    """Set when a stream was released, or when the peer may allow more of them."""
    streams_started: int = 0
    messages_received: int = 0
    arrivals: list[Callable[[], bool]] = field(default_factory=list)
    """Functions to call after each quantum of a read, for the messages that it brought. Each
    returns False if it has woken a task."""
    openings: list[Callable[[], bool]] = field(default_factory=list)
    """Functions to call at the end of a read, for the calls that it brought."""
    window_grew_at: float = -math.inf
    """When the peer last enlarged the connection's window, by the loop's clock."""
    _is_closed: bool = False
    # The streams that wait for their own window, and those that wait for the connection's
    # window, with the bytes that they need.
    _own_blocked: dict[int, SharedStream] = field(default_factory=dict)
    _all_blocked: dict[int, tuple[SharedStream, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.peer = Peer(self.write_buffer)
        if not self.h2.config.client_side:  # a client has chosen its server
            max_uncredited = self.limits.max_message_size + MAX_UNCREDITED
            self.memory_budget = MemoryBudget(max_uncredited, MAX_UNSENT)

    def is_closing(self) -> bool:
        return self._is_closed or self.write_buffer.is_closing()

    def close(self) -> None:
        """Close the transport when the output has been sent."""
        if not self._is_closed:
            self._is_closed = True
            self.write_buffer.close()
            self.h2.break_cycle()

    def flush(self) -> None:
        """Move h2's output to the write buffer."""
        if not self.is_closing() and (data := self.h2.data_to_send()):
            self.write_buffer.write(data)

    def reset(self, stream_id: int, error_code: ErrorCodes) -> None:
        """Reset a stream. Raise h2's `ProtocolError` when h2 does not allow it."""
        self.h2.reset_stream(stream_id, error_code)
        self.flush()

    def send_goaway(self, error_code: ErrorCodes, reason: str = "") -> None:
        """Send a GOAWAY after which h2 accepts no frames."""
        h2 = self.h2
        if h2.state_machine.state is not ConnectionState.CLOSED:
            h2.close_connection(error_code)
        h2.clear_outbound_data_buffer()  # h2's own GOAWAY has no text
        self.write_buffer.write(goaway(h2.highest_inbound_stream_id, error_code, reason))

    def release(self, stream: SharedStream) -> None:
        """Forget the stream of a call that is over. Has no effect the second time."""
        if self.streams.pop(stream.id, None) is not None:
            self.stream_closed.set()
            self.is_full = False
            if not self.is_closing():
                self.write_buffer.return_window(stream.id, stream.inbox.unacked_size())
            self._on_release()

    def window_updated(self, stream_id: int) -> None:
        """Wake a stream that waits for its own window, or for the connection's (0).

        For the connection's window only one stream is woken, because it may have room for no more.
        """
        if stream_id:
            if (stream := self._own_blocked.get(stream_id)) is not None:
                stream.window_updated.set()
            return
        self.window_grew_at = asyncio.get_running_loop().time()
        window = self.h2.outbound_flow_control_window
        for stream, needed in self._all_blocked.values():
            if needed <= window:
                stream.window_updated.set()
                break

    def is_blocked(self, stream_id: int) -> bool:
        """Return whether a message on the stream waits for a larger window."""
        return stream_id in self._own_blocked or stream_id in self._all_blocked

    def wait_for_window(self, stream: SharedStream, needed: int, *, is_own: bool) -> None:
        """Wake the stream, until `stop_waiting_for_window`, when a window has `needed` bytes.

        `is_own`: the stream's own window, which wakes it whenever it grows; else the connection's.
        """
        if is_own:
            self._own_blocked[stream.id] = stream
        else:
            self._all_blocked[stream.id] = stream, needed

    def stop_waiting_for_window(self, stream: SharedStream) -> None:
        self._own_blocked.pop(stream.id, None)
        self._all_blocked.pop(stream.id, None)
        if self._all_blocked and self.h2.outbound_flow_control_window > 0:
            # After this stream has sent. The next one waits again if nothing is left.
            asyncio.get_running_loop().call_soon(self.window_updated, 0)

"""Gather the output of one connection during an iteration of the event loop and send it in one
write.

All output passes here in order: frames that are complete, and messages. Messages that follow each
other on one stream share DATA frames.

Rules: bytes leave in the order in which they were given. Only the last DATA frame of the buffer
can still grow. Nothing stays longer than until the next iteration of the loop. Messages wait for a
peer that does not read. Answers to its PING and SETTINGS frames do not wait, so they are bounded:
nothing is read from the peer while too many of them are buffered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from h2.connection import ConnectionState

try:
    import fcntl
    import termios
except ImportError:  # on Windows
    HAS_SYSTEM_QUEUE_SIZE = False
else:
    HAS_SYSTEM_QUEUE_SIZE = True

from ..http2.frame_types import DATA, pack_frame_header, window_update
from ..http2.h2_connection import SENDING, WireH2

LINGER_TIMEOUT = 0.5
"""Seconds to send the remaining data when a connection is closed."""

MAX_GATHERED = 64 * 1024
"""Bytes that are written at once, so that the transport notices when its peer does not read."""

MAX_AT_ONCE = 64 * 1024
"""Bytes of messages that are sent without a look at the size of the transport's buffer."""


class MessageSender(Protocol):
    """The stream of a call, as the write buffer uses it."""

    id: int

    is_direct: bool
    """Messages may be written now: headers are sent, compression is off, no task waits to send."""

    messages_sent: int


@dataclass(eq=False, repr=False, slots=True)
class WriteBuffer:
    _transport: asyncio.Transport
    _h2: WireH2
    """Keeps the windows."""
    _max_control_backlog: int
    """Bytes of frames other than DATA that may wait for the peer to read.

    Above a quarter of it nothing is read from the peer; above it the connection is aborted.
    """
    _write_timeout: float | None
    """Seconds without any read by the peer after which a closed connection is aborted."""
    _extra: Mapping[str, Any] = field(default_factory=dict)
    """Takes precedence over the transport in `get_extra_info`."""
    is_backlog_full: bool = False
    """The connection was aborted because of `max_control_backlog`."""
    is_over: bool = False
    """The connection is closing: later writes are lost."""
    data_frames: int = 0
    messages_sent: int = 0
    bytes_sent: int = 0
    _control_backlog: int = 0
    _is_blocked: bool = False
    _pauses: frozenset[str] = frozenset()
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _parts: list[bytes | memoryview] = field(default_factory=list)
    _size: int = 0
    _is_scheduled: bool = False
    _was_scheduled: bool = False
    _is_read_flushed: bool = False
    _is_lingering: bool = False
    _is_lost: bool = False
    _abortion: asyncio.TimerHandle | None = None
    # The DATA frame that may grow: its stream, the index of its header, and its length.
    _data_stream: int = 0
    _data_header: int = 0
    _data_length: int = 0

    def write(self, data: bytes) -> None:
        """Add complete frames."""
        if data:
            if self._data_stream:
                self._close_data()
            self._add(data)
            if self._is_blocked:
                self._count_control(len(data))

    def write_data(self, stream_id: int, data: bytes | memoryview, max_frame_size: int) -> None:
        """Add data of a stream, at most `max_frame_size` bytes."""
        length = len(data)
        if self._data_stream == stream_id and self._data_length + length <= max_frame_size:
            self._data_length += length
        else:
            if self._data_stream:
                self._close_data()
            self._data_stream = stream_id
            self._data_header = len(self._parts)
            self._data_length = length
            self._parts.append(b"")
        self._add(data)

    def try_send(self, stream: MessageSender, frames: bytes, count: int) -> bool:
        """Add `count` framed messages of a stream if that needs no waiting.

        Return False, and add nothing, when another task waits to send, when the windows or the
        transport have no room, for more than 64 KiB, and when h2 has to judge.
        """
        if not stream.is_direct:
            return False
        if frames and not self.try_send_data(stream.id, frames):
            return False
        stream.messages_sent += count
        self.messages_sent += count
        return True

    def try_send_data(self, stream_id: int, data: bytes) -> bool:
        """Add data as h2 would if state and windows of the stream allow it at once."""
        h2 = self._h2
        stream = h2.streams.get(stream_id)
        size = len(data)
        if (
            stream is None
            or stream.state_machine.state not in SENDING
            or size > stream.outbound_flow_control_window
            or size > h2.outbound_flow_control_window
            or size > MAX_AT_ONCE
            or self._is_blocked
            or self.is_over
            or h2.state_machine.state is ConnectionState.CLOSED
        ):
            return False
        stream.outbound_flow_control_window -= size
        h2.outbound_flow_control_window -= size
        max_size = h2.max_outbound_frame_size
        if size <= max_size:
            self.write_data(stream_id, data, max_size)
        else:
            view = memoryview(data)  # which is copied once, when the buffer is sent
            for start in range(0, size, max_size):
                self.write_data(stream_id, view[start : start + max_size], max_size)
        return True

    def return_window(self, stream_id: int, size: int) -> None:
        """Return `size` bytes of a stream's receive window to the peer."""
        h2 = self._h2
        if not size or h2.state_machine.state is ConnectionState.CLOSED or self.is_closing():
            return
        # What h2's `acknowledge_received_data` does, without its frame objects.
        increment = h2._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            self.write(window_update(0, increment))
        stream = h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            increment = stream._inbound_window_manager.process_bytes(size)
            if increment:
                self.write(window_update(stream_id, increment))

    def __enter__(self) -> None:
        """Gather output until the tasks that a read wakes have run.

        They run in the loop's next iteration, before the flush that is scheduled on exit.
        """
        self._was_scheduled, self._is_scheduled = self._is_scheduled, True

    def __exit__(self, *exc_info: object) -> None:
        if not self._was_scheduled:
            if self._is_read_flushed and not self._parts:
                self._is_scheduled = False
            else:
                self._loop.call_soon(self._flush_scheduled)
        self._is_read_flushed = False

    def flush_read(self) -> None:
        """Send the output of a read at once, because no task will add to it."""
        self._is_read_flushed = True
        self.flush()

    def flush(self) -> None:
        if self._parts:
            if self._data_stream:
                self._close_data()
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            if self._is_lost or self.is_closing():
                return  # uvloop would raise
            self.bytes_sent += len(data)
            self._transport.write(data)

    def close(self) -> None:
        """Close when the output is sent; abort if the peer reads nothing for `write_timeout`."""
        if self._is_lingering or self._is_lost:
            return
        self.flush()
        self.is_over = True
        self._transport.close()
        if self._write_timeout is not None and self.buffered_bytes:
            self._abort_later(self._write_timeout)

    def close_and_linger(self) -> None:
        """Close the sending side, and keep receiving for a moment.

        The system resets a connection that is closed with unread data, and the peer may never see
        the reason. The owner reads and drops the data while `is_closing`.
        """
        self.flush()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._is_lingering = self.is_over = True
            self._abort_later(LINGER_TIMEOUT, unconditionally=True)
            with suppress(OSError):  # the peer has closed the connection
                self._transport.write_eof()
        else:
            self.close()

    def abort(self) -> None:
        """Close the connection now and discard the output."""
        self._parts.clear()
        self._size = 0
        self._data_stream = 0
        self.is_over = True
        self._transport.abort()

    def connection_lost(self) -> None:
        """Stop using the transport: asyncio's TLS transport cannot be asked after that."""
        self._is_lost = self.is_over = True
        if self._abortion is not None:
            self._abortion.cancel()

    def block(self) -> None:
        """Note that the transport's buffer is full, because the peer reads too slowly."""
        self._is_blocked = True

    def unblock(self) -> None:
        self._is_blocked = False
        if self._control_backlog:
            self._control_backlog = 0
            self.resume_reading("backlog")

    def pause_reading(self, reason: str) -> None:
        """Stop receiving until each `reason` that was given has been resumed."""
        if not self._pauses and not self._is_lost:
            self._transport.pause_reading()
        self._pauses |= {reason}

    def resume_reading(self, reason: str) -> None:
        if reason in self._pauses:
            self._pauses -= {reason}
            if not self._pauses and not self._is_lost and not self._transport.is_closing():
                self._transport.resume_reading()

    @property
    def buffered_bytes(self) -> int:
        """Bytes in this buffer and in the transport's buffer."""
        if self._is_lost:
            return 0
        return self._size + self._transport.get_write_buffer_size()

    @property
    def unacked_bytes(self) -> int:
        """`buffered_bytes`, and the bytes in the system's send queue.

        The system takes data in large steps, so `buffered_bytes` alone says little about a peer
        that reads slowly.
        """
        return self.buffered_bytes + self._system_queue_size()

    def _system_queue_size(self) -> int:
        sock = self._transport.get_extra_info("socket")
        if not HAS_SYSTEM_QUEUE_SIZE or sock is None or self._is_lost:
            return 0
        try:
            answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)

    def is_closing(self) -> bool:
        return self._is_lingering or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in self._extra:
            return self._extra[name]
        return self._transport.get_extra_info(name, default)

    def _add(self, data: bytes | memoryview) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= MAX_GATHERED:
            self.flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _close_data(self) -> None:
        length = self._data_length
        header = pack_frame_header(length >> 8, length & 0xFF, DATA, 0, self._data_stream)
        self._parts[self._data_header] = header
        self._data_stream = 0
        self.data_frames += 1

    def _abort_later(self, timeout: float, *, unconditionally: bool = False) -> None:
        """Abort the connection after `timeout` seconds unless the peer reads something."""

        def abort(unacked_bytes: int) -> None:
            if not unconditionally and self.unacked_bytes < unacked_bytes:
                self._abort_later(timeout)
            else:
                self._transport.abort()

        self._abortion = self._loop.call_later(timeout, abort, self.unacked_bytes)

    def _count_control(self, size: int) -> None:
        self._control_backlog += size
        if self._control_backlog > self._max_control_backlog:
            self.is_backlog_full = True
            self.abort()
        elif self._control_backlog > self._max_control_backlog // 4:
            self.pause_reading("backlog")

"""What leaves a connection: gathered during a turn of the event loop, sent in one write.

Everything that is written passes here in order: h2's frames as bytes, and messages, which share
DATA frames while they follow each other on one stream. It stands in the place of the transport
for grpclib's classes.

Rules: bytes leave in the order in which they were given; a DATA frame is open only at the end of
what is gathered; nothing is kept back longer than until the loop's next turn. Messages wait for a
peer that does not read; the answers to its PINGs and SETTINGS do not, so those are bounded: the
peer is not read from while too many of them wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

try:
    import fcntl
    import termios
except ImportError:  # on Windows
    CAN_ASK_THE_SYSTEM = False
else:
    CAN_ASK_THE_SYSTEM = True

from ..http2.frame_types import DATA, frame_header

__all__ = ["LAST_WORDS", "WriteBuffer"]

LAST_WORDS = 0.5
"""Seconds that what is left to send may take when a connection is closed."""

MAX_GATHERED = 64 * 1024
"""Bytes that are sent at once, so that the transport can tell when its peer does not read."""


class WriteBuffer:
    """Gathers what is written to one connection."""

    def __init__(
        self,
        transport: asyncio.Transport,
        max_control_backlog: int,
        write_timeout: float | None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`extra`: for `get_extra_info`, in place of what the transport says.

        `max_control_backlog`: bytes that are not messages and wait for the peer to read.

        From a quarter of it on the peer is not read from; past it the connection is cut off.
        `write_timeout`: seconds that a peer may read nothing when the connection is closed.
        """
        self._write_timeout = write_timeout
        self._extra = extra or {}
        self.is_backlog_full = False
        """The connection was cut off because too many answers waited."""
        self._transport = transport
        self._max_control_backlog = max_control_backlog
        self._control_backlog = 0
        self._is_blocked = False
        self._pauses: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        self.data_frames = 0
        """How many DATA frames were written."""
        self.bytes_sent = 0
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._is_scheduled = False
        self._was_scheduled = False
        self._is_read_flushed = False
        self._is_lingering = False
        self._is_lost = False
        self.is_over = False
        """It is being closed: what is written from now on is lost."""
        self._abortion: asyncio.TimerHandle | None = None
        # The DATA frame that is open: its stream, the place of its header, and its length.
        self._data_stream = 0
        self._data_header = 0
        self._data_length = 0

    def write(self, data: bytes) -> None:
        """Adds whole frames."""
        if data:
            if self._data_stream:
                self._close_data()
            self._add(data)
            if self._is_blocked:
                self._count_control(len(data))

    def write_data(self, stream_id: int, data: bytes | memoryview, max_frame_size: int) -> None:
        """Adds a part of a stream, which is no longer than a frame may be."""
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

    def __enter__(self) -> None:
        """Entered while data is received: what that makes tasks write leaves when they have run.

        They run in the loop's next turn, and the flush that is scheduled on leaving after them.
        """
        self._was_scheduled, self._is_scheduled = self._is_scheduled, True

    def __exit__(self, *exc_info: object) -> None:
        if not self._was_scheduled:
            if self._is_read_flushed and not self._parts:
                self._is_scheduled = False
            else:
                self._loop.call_soon(self._flush_turn)
        self._is_read_flushed = False

    def flush_read(self) -> None:
        """Sends at once what was written while data is received: no task has more to write."""
        self._is_read_flushed = True
        self.flush()

    def flush(self) -> None:
        """Sends what was gathered."""
        if self._parts:
            if self._data_stream:
                self._close_data()
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            if self._is_lost or self.is_closing():
                return  # uvloop raises, where asyncio forgets it
            self.bytes_sent += len(data)
            self._transport.write(data)

    def close(self) -> None:
        """Closes when what was gathered has left; a peer that reads nothing of it is cut off."""
        if self._is_lingering or self._is_lost:
            return
        self.flush()
        self.is_over = True
        self._transport.close()
        if self._write_timeout is not None and self.buffered_bytes:
            self._abort_later(self._write_timeout)

    def close_and_linger(self) -> None:
        """As `close`, for a peer that goes on sending.

        The system resets a connection that is closed with bytes that nobody has read, and the
        peer may never see why. So they are read, and thrown away by whoever asks `is_closing`.
        """
        self.flush()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._is_lingering = self.is_over = True
            self._abort_later(LAST_WORDS, whatever=True)
            with suppress(OSError):  # the peer has gone already
                self._transport.write_eof()
        else:
            self.close()

    def abort(self) -> None:
        """Closes now; what was gathered is lost."""
        self._parts.clear()
        self._size = 0
        self._data_stream = 0
        self.is_over = True
        self._transport.abort()

    def lost(self) -> None:
        """The connection is gone; asyncio's transport for TLS cannot be asked any more."""
        self._is_lost = self.is_over = True
        if self._abortion is not None:
            self._abortion.cancel()

    def block(self) -> None:
        """The transport has more than it likes; the peer does not read as fast."""
        self._is_blocked = True

    def unblock(self) -> None:
        """The peer has read."""
        self._is_blocked = False
        if self._control_backlog:
            self._control_backlog = 0
            self.resume_reading("backlog")

    def pause_reading(self, reason: str) -> None:
        """Nothing is received until all that paused it have resumed."""
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
        """Bytes that wait for the peer to read."""
        if self._is_lost:
            return 0
        return self._size + self._transport.get_write_buffer_size()

    @property
    def unacked_bytes(self) -> int:
        """As `buffered_bytes`, with what the system holds for the peer.

        The system takes data in large steps, so `buffered_bytes` alone says little about a peer
        that reads slowly.
        """
        return self.buffered_bytes + self._in_the_system()

    def _in_the_system(self) -> int:
        sock = self._transport.get_extra_info("socket")
        if not CAN_ASK_THE_SYSTEM or sock is None or self._is_lost:
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
            self._loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _close_data(self) -> None:
        header = frame_header(self._data_length, DATA, 0, self._data_stream)
        self._parts[self._data_header] = header
        self._data_stream = 0
        self.data_frames += 1

    def _abort_later(self, timeout: float, *, whatever: bool = False) -> None:
        """Cuts the peer off in so many seconds, unless it has read something until then."""

        def abort(unread: int) -> None:
            if not whatever and self.unacked_bytes < unread:
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

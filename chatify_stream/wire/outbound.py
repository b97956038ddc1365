"""What leaves a connection: gathered during a turn of the event loop, sent in one write.

Everything that is written passes here in order: h2's frames as bytes, and messages, which share
DATA frames while they follow each other on one stream. It stands in the place of the transport
for grpclib's classes.

Rules: bytes leave in the order in which they were given; a DATA frame is open only at the end of
what is gathered; nothing is kept back longer than until the loop's next turn.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .frames import DATA, frame_header

__all__ = ["Outbound"]

MOST_GATHERED = 64 * 1024
"""Bytes that are sent at once, so that the transport can tell when its peer does not read."""


class Outbound:
    """Gathers what is written to one connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._size = 0
        self._is_scheduled = False
        self._was_scheduled = False
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

    def write_data(self, stream_id: int, data: bytes, max_frame_size: int) -> None:
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
            self._loop.call_soon(self._flush_turn)

    def flush(self) -> None:
        """Sends what was gathered."""
        if self._parts:
            if self._data_stream:
                self._close_data()
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts.clear()
        self._size = 0
        self._data_stream = 0
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= MOST_GATHERED:
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

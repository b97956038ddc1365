"""The frames that come by the thousand, DATA, WINDOW_UPDATE and PING, without h2's help.

`FrameReader` walks what was received. DATA and WINDOW_UPDATE of a stream that h2 has open are
dealt with on the spot, and h2's own counters are kept as h2 would have them. So is PING, of which
grpc-go sends one with nearly every message, to measure the connection. Everything else,
and whatever is not entirely plain (padding, END_STREAM, a violated window, a stream that is not
open), goes to h2, whole and in order, as it came; so h2 decides every doubtful case.

GOAWAY is here for another reason: h2 refuses to work after it, though the streams that are open
go on (RFC 9113, 6.8).

tests/wire/test_frames.py feeds the same frames, cut at random places, to this and to h2 alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from h2.connection import ConnectionState, H2Connection
from h2.exceptions import FrameTooLargeError
from h2.stream import StreamState

__all__ = ["DATA", "FrameReader", "frame_header", "goaway", "ping", "window_update"]

HEADER_SIZE = 9
HEADER = struct.Struct(">HBBBL")
"""Of a frame: its length, which has 3 bytes, type, flags and stream."""
GOAWAY_BODY = struct.Struct(">LL")
WINDOW_UPDATE_BODY = struct.Struct(">L")
PREFACE_SIZE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA, HEADERS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 5, 6, 7, 8, 9
ACK = 0x01
END_HEADERS = 0x04
STREAM_BITS = 0x7FFFFFFF
LARGEST_WINDOW = 2**31 - 1

OURS = (DATA, WINDOW_UPDATE, PING, GOAWAY)
HEADER_BLOCK = (HEADERS, PUSH_PROMISE, CONTINUATION)
RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
USABLE = (*RECEIVING, StreamState.HALF_CLOSED_REMOTE)


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The header of a frame."""
    return HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame_header(4, WINDOW_UPDATE, 0, stream_id) + WINDOW_UPDATE_BODY.pack(increment)


def goaway(last_stream_id: int, error_code: int) -> bytes:
    """A GOAWAY frame."""
    return frame_header(8, GOAWAY, 0, 0) + GOAWAY_BODY.pack(last_stream_id, error_code)


def ping(data: bytes) -> bytes:
    """A PING frame; `data` has 8 bytes."""
    return frame_header(8, PING, 0, 0) + data


class FrameReader:
    """Reads one connection's frames, from any pieces."""

    def __init__(
        self,
        h2: H2Connection,
        streams: Mapping[int, Any],
        *,
        to_h2: Callable[[bytes], bool],
        on_window: Callable[[int], None],
        on_ping: Callable[[bytes], None],
        on_goaway: Callable[[int, int], bool],
    ) -> None:
        """`streams`: by id, those whose `buffer` (an `Inbox`) takes data.

        `to_h2` hands bytes to h2 and says whether the connection goes on. `on_window` learns of a
        larger window, of a stream or (0) of the connection; `on_ping` gets the answer to a PING;
        `on_goaway` gets the last stream and error code of a GOAWAY, and says whether it is dealt
        with: h2 would refuse to go on after it. All may raise h2's `ProtocolError`.
        """
        self._h2 = h2
        self._streams = streams
        self._to_h2 = to_h2
        self._on_window = on_window
        self._on_ping = on_ping
        self._on_goaway = on_goaway
        self._rest = b""
        self._preface_left = 0 if h2.config.client_side else PREFACE_SIZE
        self._is_in_headers = False

    def feed(self, data: bytes) -> None:
        """Reads the frames that are whole; keeps the rest for the next call."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = len(data)
        for_h2 = 0  # from here to `position`, what h2 is to get
        position = min(self._preface_left, end)
        self._preface_left -= position
        while end - position >= HEADER_SIZE:
            high, low, kind, flags, stream_id = HEADER.unpack_from(data, position)
            length = high << 8 | low
            if length > self._h2.max_inbound_frame_size:
                if for_h2 < position and not self._to_h2(data[for_h2:position]):
                    return
                raise FrameTooLargeError(f"a frame of {length} bytes")
            stop = position + HEADER_SIZE + length
            if stop > end:
                break
            if kind in OURS and not self._is_in_headers:
                if for_h2 < position:
                    if not self._to_h2(data[for_h2:position]):
                        return
                    for_h2 = position
                body = data[position + HEADER_SIZE : stop]
                if self._deal_with(kind, flags, stream_id & STREAM_BITS, body):
                    if kind == GOAWAY and self._is_closed():
                        return
                    for_h2 = stop
            elif kind in HEADER_BLOCK:
                self._is_in_headers = not flags & END_HEADERS
            position = stop
        if for_h2 < position and not self._to_h2(data[for_h2:position]):
            return
        self._rest = data[position:]

    def _is_closed(self) -> bool:
        return self._h2.state_machine.state is ConnectionState.CLOSED

    def _deal_with(self, kind: int, flags: int, stream_id: int, body: bytes) -> bool:
        """False for a frame of our kinds that h2 has to decide."""
        if self._is_closed():
            return False
        if kind == DATA:
            return flags == 0 and self._data(stream_id, body)
        if kind == WINDOW_UPDATE:
            return len(body) == 4 and self._window_update(stream_id, body)
        if stream_id:
            return False
        if kind == PING:
            return flags == 0 and len(body) == 8 and self._ping(body)
        return len(body) >= 8 and self._goaway(body)

    def _data(self, stream_id: int, body: bytes) -> bool:
        """What h2 does with plain DATA of an open stream; False when h2 has to decide."""
        h2 = self._h2
        stream = h2.streams.get(stream_id)
        call = self._streams.get(stream_id)
        if (
            stream is None
            or call is None
            or stream.state_machine.state not in RECEIVING
            or stream._expected_content_length is not None
        ):
            return False
        size = len(body)
        window = stream._inbound_window_manager
        connection_window = h2._inbound_flow_control_window_manager
        if size > window.current_window_size or size > connection_window.current_window_size:
            return False
        window.current_window_size -= size
        connection_window.current_window_size -= size
        if size:
            call.buffer.add(body, size)
        return True

    def _ping(self, body: bytes) -> bool:
        self._on_ping(frame_header(8, PING, ACK, 0) + body)
        return True

    def _goaway(self, body: bytes) -> bool:
        last_stream_id, error_code = GOAWAY_BODY.unpack_from(body)
        return self._on_goaway(last_stream_id & STREAM_BITS, error_code)

    def _window_update(self, stream_id: int, body: bytes) -> bool:
        """What h2 does with a larger window of an open stream; False when h2 has to decide."""
        h2 = self._h2
        increment = int.from_bytes(body, "big")
        if not 0 < increment <= LARGEST_WINDOW:
            return False
        if stream_id:
            stream = h2.streams.get(stream_id)
            if stream is None or stream.state_machine.state not in USABLE:
                return False
            if stream.outbound_flow_control_window + increment > LARGEST_WINDOW:
                return False
            stream.outbound_flow_control_window += increment
        else:
            if h2.outbound_flow_control_window + increment > LARGEST_WINDOW:
                return False
            h2.outbound_flow_control_window += increment
        self._on_window(stream_id)
        return True

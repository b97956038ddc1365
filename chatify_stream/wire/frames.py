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

from collections.abc import Callable, Mapping
from typing import Any

from h2.connection import ConnectionState, H2Connection
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import StreamState

from .flood import FloodError, FrameBudget
from .kinds import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    GOAWAY_BODY,
    HEADER_SIZE,
    HEADERS,
    PING,
    PREFACE_SIZE,
    PUSH_PROMISE,
    SETTINGS,
    STREAM_BITS,
    WINDOW_UPDATE,
    read_frame_header,
)

__all__ = ["FrameReader"]

LARGEST_WINDOW = 2**31 - 1
KIND = 3
"""The place of a frame's type in its header."""

OURS = (DATA, WINDOW_UPDATE, PING, GOAWAY)
HEADER_BLOCK = (HEADERS, PUSH_PROMISE, CONTINUATION)
RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
USABLE = (*RECEIVING, StreamState.HALF_CLOSED_REMOTE)


class FrameReader:
    """Reads one connection's frames, from any pieces."""

    def __init__(
        self,
        h2: H2Connection,
        streams: Mapping[int, Any],
        budget: FrameBudget,
        *,
        max_header_block_size: int,
        to_h2: Callable[[bytes], bool],
        on_greeting: Callable[[], None],
        on_window: Callable[[int], None],
        on_ping: Callable[[bytes], None],
        on_goaway: Callable[[int, int], bool],
    ) -> None:
        """`streams`: by id, those whose `buffer` (an `Inbox`) takes data.

        `to_h2` hands bytes to h2 and says whether the connection goes on. `on_greeting` learns of
        the peer's first frame. `on_window` learns of a larger window, of a stream or (0) of the
        connection; `on_ping` gets the data of a PING, to answer it; `on_goaway` gets the last
        stream and error code of a GOAWAY, and says whether it is dealt with: h2 would refuse to
        go on after it. All may raise h2's `ProtocolError`.
        """
        self._h2 = h2
        self._streams = streams
        self._budget = budget
        self._max_header_block_size = max_header_block_size
        self._to_h2 = to_h2
        self._on_greeting = on_greeting
        self._on_window = on_window
        self._on_ping = on_ping
        self._on_goaway = on_goaway
        self._rest = b""
        self._preface_left = 0 if h2.config.client_side else PREFACE_SIZE
        self._is_greeted = False
        self._header_block: int | None = None
        """The bytes of a header block that has not ended yet."""
        self.data_frames = 0
        """How many have come, empty ones not counted."""

    def feed(self, data: bytes) -> None:
        """Reads the frames that are whole; keeps the rest for the next call.

        Raises `ProtocolError`, and `FloodError` for a peer that sends too much of something.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = len(data)
        for_h2 = 0  # from here to `position`, what h2 is to get
        position = min(self._preface_left, end)
        self._preface_left -= position
        if not self._is_greeted:
            self._check_greeting(data, position)
        while end - position >= HEADER_SIZE:
            high, low, kind, flags, stream_id = read_frame_header(data, position)
            length = high << 8 | low
            if length > self._h2.max_inbound_frame_size:
                if for_h2 < position and not self._to_h2(data[for_h2:position]):
                    return
                raise FrameTooLargeError(f"a frame of {length} bytes")
            stop = position + HEADER_SIZE + length
            if stop > end:
                break
            stream_id &= STREAM_BITS
            body = data[position + HEADER_SIZE : stop]
            if kind in OURS and self._header_block is None:
                if for_h2 < position:
                    if not self._to_h2(data[for_h2:position]):
                        return
                    for_h2 = position
                if self._deal_with(kind, flags, stream_id, body):
                    if kind == GOAWAY and self._is_closed():
                        return
                    position = for_h2 = stop
                    continue
            self._count(kind, flags, stream_id, body)
            position = stop
        if for_h2 < position and not self._to_h2(data[for_h2:position]):
            return
        self._rest = data[position:]

    def _check_greeting(self, data: bytes, position: int) -> None:
        """The first frame is SETTINGS (RFC 9113, 3.4).

        h2 checks a client's preface, but takes what an HTTP/1 or TLS server says for the header
        of a huge frame, and waits for its end.
        """
        if self._preface_left or len(data) <= position + KIND:
            return
        if data[position + KIND] != SETTINGS:
            if position and not self._to_h2(data[:position]):  # h2 says so if that is wrong
                return
            raise ProtocolError(f"it began with {data[position : position + 24]!r}")
        self._is_greeted = True
        self._on_greeting()

    def _count(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        """A frame for h2: what comes too often, or is too large, ends the connection here."""
        if kind in HEADER_BLOCK:
            size = (self._header_block or 0) + len(body)
            if size > self._max_header_block_size:
                raise FloodError(f"headers of more than {self._max_header_block_size} bytes")
            self._header_block = None if flags & END_HEADERS else size
        is_open = stream_id in self._streams or stream_id > self._h2.highest_inbound_stream_id
        self._budget.frame(kind, flags, body, is_open=is_open)

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
            self.data_frames += 1
            call.buffer.add(body, size)
        else:
            self._budget.spend("glitches")
        return True

    def _ping(self, body: bytes) -> bool:
        self._on_ping(body)
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

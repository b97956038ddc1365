"""Handle the frequent frames of a connection without h2.

`FrameReader` walks the received data. It handles new calls, and DATA and WINDOW_UPDATE of streams
that h2 has open, and keeps h2's own counters and states as h2 would. It also handles PING, because
grpc-go sends a PING with nearly every message to measure the connection. All other frames go to h2,
whole and in order, and so does every frame that is not plain: with padding, with a header block in
parts, with a window that is exceeded, for a stream that never existed. h2 judges every doubtful
case.

A peer may send any number of frames on a stream before it learns that this side has ended it. They
have no effect (RFC 9113, 5.1). They are dropped here at the cost of a frame of an open stream; h2
would answer each DATA frame with a RST_STREAM.

GOAWAY is handled here because h2 refuses to work after it, although open streams continue (RFC
9113, 6.8).

tests/wire/http2/test_frame_reader.py feeds the same frames, cut at random places, to this class and
to h2 alone, and compares.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from h2.connection import ConnectionState
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import StreamClosedBy, StreamState

from ..grpclib_internals import Headers
from .first_bytes import describe_first_bytes
from .flood import FloodError, FrameBudget
from .frame_types import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_KIND,
    GOAWAY,
    GOAWAY_BODY,
    HEADER_SIZE,
    HEADERS,
    PING,
    PREFACE,
    PREFACE_SIZE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_BITS,
    WINDOW_UPDATE,
    read_frame_header,
)
from .h2_connection import WireH2, end_received, stream_opened

MAX_WINDOW = 2**31 - 1
OURS = (DATA, HEADERS, WINDOW_UPDATE, PING, RST_STREAM, SETTINGS, GOAWAY)
"""Except answers to PINGs, which h2 gets."""
STREAMS_TO_FORGET = 16

RAPID = 1.0
"""Seconds. A reset within them counts, because such a call may cost its peer nothing."""

CALL_WORK, H2_WORK = 32, 8
"""Number of frames that a new call, and a frame for h2, count as."""

HEADER_SHIFT = 4
"""Every 16 bytes of headers count as one frame, since decoding them takes time."""

SMALL = 512
"""Bytes of a DATA frame that is handled whole: it holds at most a hundred messages."""

HEADER_BLOCK = (HEADERS, PUSH_PROMISE, CONTINUATION)
RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
USABLE = (*RECEIVING, StreamState.HALF_CLOSED_REMOTE)


class FrameHandler(Protocol):
    """Handles the frames of a connection. Each method may raise h2's `ProtocolError`."""

    def feed_h2(self, data: bytes) -> bool:
        """Give complete frames to h2. Return False when the connection is closing."""

    def greeting_received(self) -> None: ...
    def request_received(self, stream_id: int, headers: Headers) -> None: ...
    def stream_ended(self, stream_id: int) -> None: ...
    def ping_received(self, data: bytes) -> None: ...

    def window_updated(self, stream_id: int) -> None:
        """Handle a larger window of a stream, or (0) of the connection."""

    def late_data_received(self, stream_id: int, size: int) -> None:
        """Return to the connection's window what data of a closed stream took of it."""

    def goaway_received(self, last_stream_id: int, error_code: int, reason: bytes) -> bool:
        """Handle a GOAWAY. Return False to give it to h2, which refuses to work after it."""


@dataclass(eq=False, repr=False, slots=True)
class FrameReader:
    """Reads the frames of one connection from pieces of any size."""

    _h2: WireH2
    _streams: Mapping[int, Any]
    """The open streams by id. The `inbox` of each takes its data."""
    _budget: FrameBudget
    _handler: FrameHandler
    _max_header_block_size: int
    _max_streams: int
    _clock: Callable[[], float] = time.monotonic
    _rest: bytes = b""
    _begin: int = 0
    """Offset of the unread data in `_rest`, which is not copied for each call."""
    _preface_left: int = PREFACE_SIZE
    _is_greeted: bool = False
    _is_acknowledged: bool = False
    """The peer has acknowledged the SETTINGS of this side, which sends one frame."""
    _header_block: int | None = None
    """Bytes of a header block that has not ended yet."""
    _work: int = 0
    """Work done in this call of `feed`, and the excess of earlier calls."""
    _max_work: int = sys.maxsize
    _uncut: tuple[int, bool] | None = None
    """The stream whose last frame holds more messages, and whether it ends with them."""
    data_frames: int = 0
    """Number of DATA frames received that were not empty."""

    def __post_init__(self) -> None:
        if self._h2.config.client_side:
            self._preface_left = 0

    def feed(self, data: bytes, max_work: int = sys.maxsize) -> bool:
        """Handle the complete frames, and keep the rest for the next call.

        Return False after `max_work` frames and messages if there are more: let other connections
        be served, and go on with `feed(b"")`. Work beyond `max_work` counts in the next call.

        Raise `ProtocolError`, and `FloodError` for a peer that exceeds a limit.
        """
        position = 0
        if self._rest:
            if data:
                data = self._rest[self._begin :] + data
            else:
                data, position = self._rest, self._begin
            self._rest = b""
        if self._work:
            self._work -= max_work
        self._max_work = max_work
        if self._uncut is not None:
            self._cut(*self._uncut)
        end = len(data)
        for_h2 = position  # the frames between for_h2 and position are for h2
        if not self._is_greeted:
            of_preface = min(self._preface_left, end)
            self._preface_left -= of_preface
            position += of_preface
            self._check_greeting(data, position)
        while end - position >= HEADER_SIZE and self._work < max_work:
            high, low, kind, flags, stream_id = read_frame_header(data, position)
            length = high << 8 | low
            if length > self._h2.max_inbound_frame_size:
                if for_h2 < position and not self._handler.feed_h2(data[for_h2:position]):
                    return True
                raise FrameTooLargeError(f"a frame of {length} bytes")
            stop = position + HEADER_SIZE + length
            if stop > end:
                break
            self._work += 1
            stream_id &= STREAM_BITS
            body = data[position + HEADER_SIZE : stop]
            if kind in OURS and self._header_block is None and not (kind == PING and flags & ACK):
                if for_h2 < position:
                    if not self._handler.feed_h2(data[for_h2:position]):
                        return True
                    for_h2 = position
                if self._handle_frame(kind, flags, stream_id, body):
                    if kind == GOAWAY and self._is_closed():
                        return True
                    position = for_h2 = stop
                    continue
            self._count(kind, flags, stream_id, body)
            is_headers = kind in HEADER_BLOCK
            self._work += CALL_WORK + (length >> HEADER_SHIFT) if is_headers else H2_WORK
            position = stop
        if for_h2 < position and not self._handler.feed_h2(data[for_h2:position]):
            return True
        if position < end:
            self._rest, self._begin = data, position
        if self._work >= max_work:
            return False
        self._work = 0
        return True

    def _check_greeting(self, data: bytes, position: int) -> None:
        """Require SETTINGS as the first frame (RFC 9113, 3.4), with an error that helps people.

        h2 takes the first bytes of an HTTP/1 or TLS server for the header of a huge frame, and
        waits for its end.
        """
        started_at = PREFACE_SIZE - self._preface_left - position
        if data[:position] != PREFACE[started_at : started_at + position]:
            raise ProtocolError(f"it began with {describe_first_bytes(data)}")
        if self._preface_left or len(data) <= position + FRAME_KIND:
            return
        if data[position + FRAME_KIND] != SETTINGS:
            if not self._h2.config.client_side:  # they may be any part of a frame
                raise ProtocolError("its first frame is not SETTINGS")
            raise ProtocolError(f"it began with {data[position : position + 24]!r}")
        self._is_greeted = True
        self._handler.greeting_received()

    def _count(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        """Count a frame for h2. Raise `FloodError` if it is too frequent or too large."""
        if kind in HEADER_BLOCK:
            size = (self._header_block or 0) + len(body)
            if size > self._max_header_block_size:
                raise FloodError(f"headers of more than {self._max_header_block_size} bytes")
            self._header_block = None if flags & END_HEADERS else size
        stream = self._streams.get(stream_id)
        if kind == RST_STREAM and stream is not None:
            # A client may give up a call after a while; a server may reset any (RFC 9113, 8.1).
            if not self._h2.config.client_side and self._clock() < stream.opened_at + RAPID:
                self._budget.spend("resets")
            return
        is_open = stream is not None or stream_id > self._h2.highest_inbound_stream_id
        self._budget.count_frame(kind, flags, body, is_open=is_open)

    def _is_closed(self) -> bool:
        return self._h2.state_machine.state is ConnectionState.CLOSED

    def _handle_frame(self, kind: int, flags: int, stream_id: int, body: bytes) -> bool:
        """Handle a frame of the kinds in `OURS`. Return False if h2 has to judge it."""
        if self._is_closed():
            return False
        if kind == DATA:
            if flags & ~END_STREAM:
                return False
            ends = bool(flags)
            return self._data(stream_id, body, ends) or self._late_data(stream_id, body)
        if kind == HEADERS:
            if len(self._h2.streams) > 2 * len(self._streams) + STREAMS_TO_FORGET:
                self._forget_closed()
            return flags & ~END_STREAM == END_HEADERS and self._headers(
                stream_id, body, bool(flags & END_STREAM)
            )
        if kind == WINDOW_UPDATE:
            return len(body) == 4 and self._window_update(stream_id, body)
        if kind == RST_STREAM:
            return len(body) == 4 and self._is_over(stream_id)
        if stream_id:
            return False
        if kind == SETTINGS:
            if flags == ACK and not body:
                if self._is_acknowledged:
                    self._budget.spend("glitches")
                    return True
                self._is_acknowledged = True
            self._forget_closed()  # else h2 applies the new window to them
            return False
        if kind == PING:
            if flags or len(body) != 8:
                return False
            self._handler.ping_received(body)
            return True
        if len(body) < GOAWAY_BODY.size:
            return False
        last_stream_id, error_code = GOAWAY_BODY.unpack_from(body)
        reason = body[GOAWAY_BODY.size :]
        return self._handler.goaway_received(last_stream_id & STREAM_BITS, error_code, reason)

    def _headers(self, stream_id: int, block: bytes, ends: bool) -> bool:
        """Handle the headers of a new stream. Return False if h2 has to judge them."""
        h2 = self._h2
        if (
            h2.state_machine.state is not ConnectionState.SERVER_OPEN
            or not stream_id & 1
            or stream_id <= h2.highest_inbound_stream_id
            or len(self._streams) >= self._max_streams
            or not 0 < len(block) <= self._max_header_block_size
        ):
            return False
        headers = h2.decoder.decode_text(block)
        self._work += CALL_WORK + (len(block) >> HEADER_SHIFT)
        stream_opened(h2, stream_id, headers, ends=ends)
        self._handler.request_received(stream_id, headers)
        if ends:
            self._handler.stream_ended(stream_id)
        return True

    def _forget_closed(self) -> None:
        """Have h2 forget closed streams. It does so for each new stream, in time for all."""
        self._h2.open_outbound_streams  # noqa: B018

    def _data(self, stream_id: int, body: bytes, ends: bool) -> bool:
        """Handle plain DATA of an open stream. Return False if h2 has to judge it."""
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
            if size > SMALL:
                self._cut(stream_id, ends, body)
                return True
            self._work += call.inbox.add(body, size)
        elif not ends:
            self._budget.spend("glitches")
        if ends:
            end_received(stream)
            self._handler.stream_ended(stream_id)
        return True

    def _cut(self, stream_id: int, ends: bool, body: bytes = b"") -> None:
        """Cut messages from a large frame, or go on with it, within the limit of work."""
        call = self._streams.get(stream_id)
        if call is not None:
            left = max(1, self._max_work - self._work)
            self._work += call.inbox.add(body, len(body), left)
            if call.inbox.is_uncut:
                self._uncut = stream_id, ends
                return
        self._uncut = None
        stream = self._h2.streams.get(stream_id)
        if ends and stream is not None and stream.state_machine.state in RECEIVING:
            end_received(stream)
            self._handler.stream_ended(stream_id)

    def _late_data(self, stream_id: int, body: bytes) -> bool:
        """Drop data of a stream that this side has reset. Return False for other streams."""
        h2 = self._h2
        window = h2._inbound_flow_control_window_manager
        size = len(body)
        if (
            size > window.current_window_size
            or h2._stream_closed_by(stream_id) is not StreamClosedBy.SEND_RST_STREAM
        ):
            return False
        window.current_window_size -= size
        self._handler.late_data_received(stream_id, size)
        return True

    def _is_over(self, stream_id: int) -> bool:
        """Return whether the stream was open before: h2 ignores frames that would change it."""
        h2 = self._h2
        stream = h2.streams.get(stream_id)
        if stream is not None:
            return stream.closed
        is_outbound = stream_id % 2 == bool(h2.config.client_side)
        last = h2.highest_outbound_stream_id if is_outbound else h2.highest_inbound_stream_id
        return 0 < stream_id <= last

    def _window_update(self, stream_id: int, body: bytes) -> bool:
        """Enlarge a window. Return False if h2 has to judge the frame."""
        h2 = self._h2
        increment = int.from_bytes(body, "big")
        if not 0 < increment <= MAX_WINDOW:
            return False
        owner: Any = h2
        if stream_id:
            owner = h2.streams.get(stream_id)
            if owner is None or owner.state_machine.state not in USABLE:
                return self._is_over(stream_id)
        if owner.outbound_flow_control_window + increment > MAX_WINDOW:
            return False
        owner.outbound_flow_control_window += increment
        self._handler.window_updated(stream_id)
        return True

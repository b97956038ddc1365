"""The frames that come by the thousand, without h2's help.

`FrameReader` walks what was received. Calls that are opened, and DATA and WINDOW_UPDATE of a
stream that h2 has open, are dealt with on the spot, and h2's own counters and states are kept as
h2 would have them. So is PING, of which grpc-go sends one with nearly every message, to measure
the connection. Everything else, and whatever is not entirely plain (padding, a header block in
parts, a violated window, a stream that never was), goes to h2, whole and in order, as it came;
so h2 decides every doubtful case.

What a peer sent on a stream before it knew that this side has ended it comes in any number, and
means nothing (RFC 9113, 5.1). It is dropped here, where it costs as little as on an open stream;
h2 would answer each piece of data with a RST_STREAM.

GOAWAY is here for another reason: h2 refuses to work after it, though the streams that are open
go on (RFC 9113, 6.8).

tests/wire/http2/test_frame_reader.py feeds the same frames, cut at random places, to this and to
h2 alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from h2.connection import ConnectionState, H2Connection
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
from .hpack import CachingDecoder
from .stream_states import end_received, stream_opened

__all__ = ["FrameReader"]

MAX_WINDOW = 2**31 - 1
OURS = (DATA, HEADERS, WINDOW_UPDATE, PING, RST_STREAM, SETTINGS, GOAWAY)
"""But the answers to PINGs are h2's, which gets those of a flood together, if at all."""
STREAMS_TO_FORGET = 16

RAPID = 1.0
"""Seconds: a call that is reset earlier counts, for it may have cost its peer nothing."""

CALL_WORK, H2_WORK = 32, 8
"""For how many frames a call that is opened, and a frame that h2 gets, count."""

HEADER_SHIFT = 4
"""Every 16 bytes of headers count for one, since it takes time to decode them."""

SMALL = 512
"""Bytes of a DATA frame whose messages, a hundred at the most, are not worth counting first."""

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
        decoder: CachingDecoder,
        max_header_block_size: int,
        max_streams: int,
        to_h2: Callable[[bytes], bool],
        on_greeting: Callable[[], None],
        on_request: Callable[[int, Headers], None],
        on_end: Callable[[int], None],
        on_window: Callable[[int], None],
        on_late_data: Callable[[int, int], None],
        on_ping: Callable[[bytes], None],
        clock: Callable[[], float] = time.monotonic,
        on_goaway: Callable[[int, int, bytes], bool],
    ) -> None:
        """`streams`: by id, those whose `buffer` (an `Inbox`) takes data.

        `to_h2` hands bytes to h2 and says whether the connection goes on. `on_greeting` learns of
        the peer's first frame. `on_request` gets the stream and the headers of a call that is
        opened, and `on_end` the stream that its peer has ended. `on_window` learns of a larger
        window, of a stream or (0) of the connection; `on_late_data` gives the connection back what
        data of a stream that is over took of its window; `on_ping` gets the data of a PING, to
        answer it; `on_goaway` gets the last stream, error code and text of a GOAWAY, and says
        whether it is dealt with: h2 would refuse to go on after it. All may raise h2's
        `ProtocolError`.
        """
        self._h2 = h2
        self._streams = streams
        self._budget = budget
        self._decoder = decoder
        self._max_header_block_size = max_header_block_size
        self._max_streams = max_streams
        self._to_h2 = to_h2
        self._on_greeting = on_greeting
        self._on_request = on_request
        self._on_end = on_end
        self._on_window = on_window
        self._on_late_data = on_late_data
        self._on_ping = on_ping
        self._on_goaway = on_goaway
        self._clock = clock
        self._rest = b""
        self._begin = 0
        """Where it begins: it is not copied for each turn."""
        self._preface_left = 0 if h2.config.client_side else PREFACE_SIZE
        self._is_greeted = False
        self._is_acknowledged = False
        """The peer has taken the SETTINGS of this side, of which there is one frame."""
        self._header_block: int | None = None
        """The bytes of a header block that has not ended yet."""
        self._work = 0
        """What was done in this turn, and what the turn before had too much of."""
        self._most_work = sys.maxsize
        self._uncut: tuple[int, bool] | None = None
        """The stream whose last frame has more messages, and whether it ends with them."""
        self.data_frames = 0
        """How many have come, empty ones not counted."""

    def feed(self, data: bytes, most_work: int = sys.maxsize) -> bool:
        """Reads the frames that are whole; keeps the rest for the next call.

        Returns False when that was not all: after `most_work` frames and messages others are to
        have their turn, and then it goes on with `feed(b"")`. What the last frame had beyond that
        counts then.

        Raises `ProtocolError`, and `FloodError` for a peer that sends too much of something.
        """
        position = 0
        if self._rest:
            if data:
                data = self._rest[self._begin :] + data
            else:
                data, position = self._rest, self._begin
            self._rest = b""
        if self._work:
            self._work -= most_work
        self._most_work = most_work
        if self._uncut is not None:
            self._cut(*self._uncut)
        end = len(data)
        for_h2 = position  # from here to there, what h2 is to get
        if not self._is_greeted:
            of_preface = min(self._preface_left, end)
            self._preface_left -= of_preface
            position += of_preface
            self._check_greeting(data, position)
        while end - position >= HEADER_SIZE and self._work < most_work:
            high, low, kind, flags, stream_id = read_frame_header(data, position)
            length = high << 8 | low
            if length > self._h2.max_inbound_frame_size:
                if for_h2 < position and not self._to_h2(data[for_h2:position]):
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
                    if not self._to_h2(data[for_h2:position]):
                        return True
                    for_h2 = position
                if self._handle_frame(kind, flags, stream_id, body):
                    if kind == GOAWAY and self._is_closed():
                        return True
                    position = for_h2 = stop
                    continue
            self._count(kind, flags, stream_id, body)
            if kind in HEADER_BLOCK:
                self._work += CALL_WORK + (length >> HEADER_SHIFT)
            else:
                self._work += H2_WORK
            position = stop
        if for_h2 < position and not self._to_h2(data[for_h2:position]):
            return True
        if position < end:
            self._rest, self._begin = data, position
        if self._work < most_work:
            self._work = 0
            return True
        return False

    def _check_greeting(self, data: bytes, position: int) -> None:
        """The first frame is SETTINGS (RFC 9113, 3.4).

        h2 checks a client's preface, without a word of what came instead, but takes what an HTTP/1
        or TLS server says for the header of a huge frame, and waits for its end.
        """
        started_at = PREFACE_SIZE - self._preface_left - position
        if data[:position] != PREFACE[started_at : started_at + position]:
            raise ProtocolError(f"it began with {describe_first_bytes(data)}")
        if self._preface_left or len(data) <= position + FRAME_KIND:
            return
        if data[position + FRAME_KIND] != SETTINGS:
            if not self._h2.config.client_side:  # it may be any part of what a client meant
                raise ProtocolError("its first frame is not SETTINGS")
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
        stream = self._streams.get(stream_id)
        if kind == RST_STREAM and stream is not None:
            # Who has tried a call for a while may give it up; a server may end any (8.1).
            if not self._h2.config.client_side and self._clock() < stream.created + RAPID:
                self._budget.spend("resets")
            return
        is_open = stream is not None or stream_id > self._h2.highest_inbound_stream_id
        self._budget.count_frame(kind, flags, body, is_open=is_open)

    def _is_closed(self) -> bool:
        return self._h2.state_machine.state is ConnectionState.CLOSED

    def _handle_frame(self, kind: int, flags: int, stream_id: int, body: bytes) -> bool:
        """False for a frame of our kinds that h2 has to decide."""
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
            self._forget_closed()  # h2 would have it bear on their windows, too
            return False
        if kind == PING:
            return flags == 0 and len(body) == 8 and self._ping(body)
        return len(body) >= 8 and self._goaway(body)

    def _headers(self, stream_id: int, block: bytes, ends: bool) -> bool:
        """What h2 does with the headers of a new stream; False when h2 has to decide."""
        h2 = self._h2
        if (
            h2.state_machine.state is not ConnectionState.SERVER_OPEN
            or not stream_id & 1
            or stream_id <= h2.highest_inbound_stream_id
            or len(self._streams) >= self._max_streams
            or not 0 < len(block) <= self._max_header_block_size
        ):
            return False
        headers = self._decoder.decode_text(block)
        self._work += CALL_WORK + (len(block) >> HEADER_SHIFT)
        stream_opened(h2, stream_id, headers, ends=ends)
        self._on_request(stream_id, headers)
        if ends:
            self._on_end(stream_id)
        return True

    def _forget_closed(self) -> None:
        """h2 would at each new stream, which takes it longer the more there are."""
        self._h2.open_outbound_streams  # noqa: B018

    def _data(self, stream_id: int, body: bytes, ends: bool) -> bool:
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
            if size > SMALL:
                self._cut(stream_id, ends, body)
                return True
            self._work += call.buffer.add(body, size)
        elif not ends:
            self._budget.spend("glitches")
        if ends:
            end_received(stream)
            self._on_end(stream_id)
        return True

    def _cut(self, stream_id: int, ends: bool, body: bytes = b"") -> None:
        """Takes as many messages of a large frame as the turn has, or goes on with it."""
        call = self._streams.get(stream_id)
        if call is not None:
            left = max(1, self._most_work - self._work)
            self._work += call.buffer.add(body, len(body), left)
            if call.buffer.is_uncut:
                self._uncut = stream_id, ends
                return
        self._uncut = None
        stream = self._h2.streams.get(stream_id)
        if ends and stream is not None and stream.state_machine.state in RECEIVING:
            end_received(stream)
            self._on_end(stream_id)

    def _late_data(self, stream_id: int, body: bytes) -> bool:
        """Drops data of a stream that this side has reset; False when it is another's."""
        h2 = self._h2
        window = h2._inbound_flow_control_window_manager
        size = len(body)
        if (
            size > window.current_window_size
            or h2._stream_closed_by(stream_id) is not StreamClosedBy.SEND_RST_STREAM
        ):
            return False
        window.current_window_size -= size
        self._on_late_data(stream_id, size)
        return True

    def _is_over(self, stream_id: int) -> bool:
        """The stream was open once: h2 ignores what would change it."""
        h2 = self._h2
        stream = h2.streams.get(stream_id)
        if stream is not None:
            return stream.closed
        is_outbound = stream_id % 2 == bool(h2.config.client_side)
        last = h2.highest_outbound_stream_id if is_outbound else h2.highest_inbound_stream_id
        return 0 < stream_id <= last

    def _ping(self, body: bytes) -> bool:
        self._on_ping(body)
        return True

    def _goaway(self, body: bytes) -> bool:
        last_stream_id, error_code = GOAWAY_BODY.unpack_from(body)
        reason = body[GOAWAY_BODY.size :]
        return self._on_goaway(last_stream_id & STREAM_BITS, error_code, reason)

    def _window_update(self, stream_id: int, body: bytes) -> bool:
        """What h2 does with a larger window; False when h2 has to decide."""
        h2 = self._h2
        increment = int.from_bytes(body, "big")
        if not 0 < increment <= MAX_WINDOW:
            return False
        if stream_id:
            stream = h2.streams.get(stream_id)
            if stream is None or stream.state_machine.state not in USABLE:
                return self._is_over(stream_id)
            if stream.outbound_flow_control_window + increment > MAX_WINDOW:
                return False
            stream.outbound_flow_control_window += increment
        else:
            if h2.outbound_flow_control_window + increment > MAX_WINDOW:
                return False
            h2.outbound_flow_control_window += increment
        self._on_window(stream_id)
        return True

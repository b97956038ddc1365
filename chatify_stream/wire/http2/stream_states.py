"""The states of h2's streams, moved as h2 would move them, without its events and frames.

tests/wire/http2/test_frame_reader.py compares with h2 alone.
"""

from __future__ import annotations

from typing import cast

from h2.connection import ConnectionState, H2Connection
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack import HeaderTuple

from ..grpclib_internals import AllowedStreamIDs, Headers
from .frame_types import END_HEADERS, END_STREAM, HEADERS, frame_header
from .hpack import CachingEncoder

__all__ = ["end_received", "send_headers", "stream_opened"]

SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)
DOUBTFUL = ("content-length", ":status")
"""Fields of a request that h2 has to look at."""


def stream_opened(h2: H2Connection, stream_id: int, headers: Headers, *, ends: bool) -> None:
    """A server receives the headers of a new stream. Raises h2's `ProtocolError`."""
    stream = h2._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
    for name, _ in headers:
        if name in DOUBTFUL:
            raw = [HeaderTuple(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
            stream.receive_headers(raw, ends, None)
            return
    machine = stream.state_machine
    machine.client = False
    machine.headers_received = True
    machine.state = StreamState.HALF_CLOSED_REMOTE if ends else StreamState.OPEN


def end_received(stream: H2Stream) -> None:
    """A stream that may receive it gets DATA with END_STREAM."""
    machine = stream.state_machine
    if machine.state is StreamState.OPEN:
        machine.state = StreamState.HALF_CLOSED_REMOTE
    else:
        machine.state = StreamState.CLOSED
        machine.stream_closed_by = StreamClosedBy.RECV_END_STREAM


def send_headers(h2: H2Connection, stream: H2Stream, headers: Headers, *, ends: bool) -> bytes:
    """The frames of a server's response headers, or of its trailers.

    Raises h2's `ProtocolError` when they may not be sent.
    """
    machine = stream.state_machine
    if (
        machine.client is False
        and machine.state in SENDING
        and (ends and not machine.trailers_sent if machine.headers_sent else _is_final(headers))
        and h2.state_machine.state is ConnectionState.SERVER_OPEN
    ):
        block = cast(CachingEncoder, h2.encoder).encode_text(headers)
        if len(block) <= h2.max_outbound_frame_size:
            if machine.headers_sent:
                machine.trailers_sent = True
            machine.headers_sent = True
            flags = END_HEADERS
            if ends:
                _end_sent(stream)
                flags |= END_STREAM
            return frame_header(len(block), HEADERS, flags, stream.stream_id) + block
    h2.send_headers(stream.stream_id, headers, end_stream=ends)
    return h2.data_to_send() or b""


def _end_sent(stream: H2Stream) -> None:
    machine = stream.state_machine
    if machine.state is StreamState.OPEN:
        machine.state = StreamState.HALF_CLOSED_LOCAL
    else:
        machine.state = StreamState.CLOSED
        machine.stream_closed_by = StreamClosedBy.SEND_END_STREAM


def _is_final(headers: Headers) -> bool:
    """A response, and not one of those that only inform, which come before it."""
    name, status = headers[0]
    return name == ":status" and not status.startswith("1")

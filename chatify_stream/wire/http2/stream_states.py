"""Change the states of h2's streams as h2 would, without its events and frame objects.

tests/wire/http2/test_frame_reader.py compares with h2 alone.
"""

from __future__ import annotations

from h2.connection import ConnectionState
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack import HeaderTuple

from ..grpclib_internals import AllowedStreamIDs, Headers
from .frame_types import END_HEADERS, END_STREAM, HEADERS, frame_header
from .h2_connection import WireH2

__all__ = ["end_received", "send_headers", "stream_opened"]

SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)
DOUBTFUL = ("content-length", ":status")
"""Fields of a request that h2 has to judge."""


def stream_opened(h2: WireH2, stream_id: int, headers: Headers, *, ends: bool) -> None:
    """Open a stream whose headers a server has received. Raise h2's `ProtocolError`."""
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
    """Note that END_STREAM was received on a stream whose state allows it."""
    _end(stream, StreamState.HALF_CLOSED_REMOTE, StreamClosedBy.RECV_END_STREAM)


def _end(stream: H2Stream, half_closed: StreamState, closed_by: StreamClosedBy) -> None:
    machine = stream.state_machine
    if machine.state is StreamState.OPEN:
        machine.state = half_closed
    else:
        machine.state = StreamState.CLOSED
        machine.stream_closed_by = closed_by


def send_headers(h2: WireH2, stream: H2Stream, headers: Headers, *, ends: bool) -> bytes:
    """Return the frames of a server's response headers or trailers.

    Raise h2's `ProtocolError` when they may not be sent.
    """
    machine = stream.state_machine
    if (
        machine.client is False
        and machine.state in SENDING
        and (ends and not machine.trailers_sent if machine.headers_sent else _is_final(headers))
        and h2.state_machine.state is ConnectionState.SERVER_OPEN
    ):
        block = h2.encoder.encode_text(headers)
        if len(block) <= h2.max_outbound_frame_size:
            if machine.headers_sent:
                machine.trailers_sent = True
            machine.headers_sent = True
            flags = END_HEADERS
            if ends:
                _end(stream, StreamState.HALF_CLOSED_LOCAL, StreamClosedBy.SEND_END_STREAM)
                flags |= END_STREAM
            return frame_header(len(block), HEADERS, flags, stream.stream_id) + block
    h2.send_headers(stream.stream_id, headers, end_stream=ends)
    return h2.data_to_send() or b""


def _is_final(headers: Headers) -> bool:
    """Return whether this is the response, not an interim response (1xx) before it."""
    name, status = headers[0]
    return name == ":status" and not status.startswith("1")

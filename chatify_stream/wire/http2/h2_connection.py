"""h2's connection, with bounds on the memory that a peer can make it use.

h2 4.4 differs from what a server needs: it ends the connection when a peer opens one stream too
many, and when an interim response arrives on a stream that was just reset. It stores every setting
that a peer invents (65,536 of them take 50 MB), and lets the peer choose the size of the table of
sent headers.

`stream_opened`, `end_received` and `send_headers` change the states of h2's streams as h2 would,
without its events and frame objects. tests/wire/http2/test_frame_reader.py compares with h2 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack import HeaderTuple

from ...limits import Limits
from ..grpclib_internals import AllowedStreamIDs, Headers, decode_headers
from .frame_types import END_HEADERS, END_STREAM, HEADERS, frame_header
from .hpack import CachingDecoder, CachingEncoder

KNOWN_SETTINGS = frozenset(SettingCodes)
MAX_HEADER_TABLE = 4096
"""Bytes of sent headers that HPACK may refer to later; HTTP/2's default."""

SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)
DOUBTFUL = ("content-length", ":status")
"""Fields of a request that h2 has to judge."""


def h2_config(*, client_side: bool) -> H2Configuration:
    """Return grpclib's configuration, with latin-1 headers so that no byte is undecodable.

    `header_rules` validates the headers.
    """
    return H2Configuration(
        client_side=client_side,
        header_encoding="latin-1",
        validate_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        normalize_outbound_headers=False,
    )


class LazyMethodTable:
    """A read-only dict of an object's methods that binds a method when it is looked up.

    h2 builds a dict of bound methods for each connection, which takes 2 kB.
    """

    __slots__ = ("_names", "_owner")

    _known: dict[type, dict[Any, str]] = {}  # noqa: RUF012 - the names by the class of the owner

    def __init__(self, owner: object, table: Mapping[Any, Callable[..., Any]]) -> None:
        """`table` must be the same for all owners of one class."""
        if type(owner) not in self._known:
            self._known[type(owner)] = {key: method.__name__ for key, method in table.items()}
        self._owner = owner
        self._names = self._known[type(owner)]

    def __getitem__(self, key: Any) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._owner, self._names[key])
        return method

    def __contains__(self, key: Any) -> bool:
        return key in self._names


class WireH2(H2Connection):
    """h2's connection, bounded. `EventHandler` limits the number of streams instead of h2."""

    MAX_CLOSED_STREAMS = 4096
    """Closed streams whose end h2 remembers. h2's default takes 10 MB."""

    encoder: CachingEncoder
    decoder: CachingDecoder

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config=config)
        self._frame_dispatch_table: Any = LazyMethodTable(self, self._frame_dispatch_table)

    @property
    def open_inbound_streams(self) -> int:
        """Return 0, so that h2 neither counts the streams for each new one nor limits them."""
        return 0

    def break_cycle(self) -> None:
        """Drop the table that refers back to this object. No frame may be received after that."""
        self._frame_dispatch_table = None

    def _receive_headers_frame(self, frame: Any) -> Any:
        if self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
            # h2 has no rule for a 1xx response that crosses the reset of its stream.
            decode_headers(self.decoder, frame.data)  # which may change the table
            raise StreamClosedError(frame.stream_id)
        try:
            return super()._receive_headers_frame(frame)
        except StreamClosedError as error:
            # h2 keeps the error in a local variable: the frames of the traceback, and all data
            # that was received in them, would wait for the garbage collector.
            raise error.with_traceback(None)  # noqa: B904

    def _handle_data_on_closed_stream(self, events: Any, exc: StreamClosedError, frame: Any) -> Any:
        return super()._handle_data_on_closed_stream(events, exc.with_traceback(None), frame)

    def _receive_settings_frame(self, frame: Any) -> Any:
        settings = {code: n for code, n in frame.settings.items() if code in KNOWN_SETTINGS}
        size = settings.get(SettingCodes.HEADER_TABLE_SIZE)
        if size is not None:  # the peer gives a maximum, and a smaller table is allowed
            settings[SettingCodes.HEADER_TABLE_SIZE] = min(size, MAX_HEADER_TABLE)
        frame.settings = settings
        return super()._receive_settings_frame(frame)


class _Settings(Settings):
    """h2's settings in a tenth of the memory: h2 has a deque of 760 bytes for each setting."""

    def __init__(self, client: bool, initial_values: dict[SettingCodes, int] | None = None) -> None:
        super().__init__(client, initial_values)
        self._settings: Any = {key: _Values(each) for key, each in self._settings.items()}

    def __setitem__(self, key: SettingCodes | int, value: int) -> None:
        self._settings.setdefault(key, _Values([None]))
        super().__setitem__(key, value)


class _Values(list[int | None]):
    def popleft(self) -> int | None:
        return self.pop(0)


def h2_connection(h2_config: H2Configuration, config: Configuration, limits: Limits) -> WireH2:
    """Return a connection with its SETTINGS and its larger window ready to be sent."""
    h2 = WireH2(config=h2_config)
    h2.local_settings = _Settings(
        client=bool(h2_config.client_side),
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
            SettingCodes.INITIAL_WINDOW_SIZE: config.http2_stream_window_size,
        },
    )
    h2.decoder = CachingDecoder(limits.max_header_block_size)
    h2.encoder = CachingEncoder()
    h2.remote_settings = _Settings(client=not h2_config.client_side)
    h2.initiate_connection()
    increment = config.http2_connection_window_size - h2.inbound_flow_control_window
    if increment > 0:
        h2.increment_flow_control_window(increment)
    return h2


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

"""What all streams of one HTTP/2 connection share: h2, and the way out.

h2 4.4 answers one stream too many by ending the connection; here that stream alone is refused. So
it does an interim answer on a stream that was just reset, which here is ignored.
It keeps every setting that a peer makes up, 65,536 of them in 50 MB, and as large a table of sent
headers as the peer likes; here what a peer can make a connection keep is bounded.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamClosedBy

from ..grpclib_internals import Configuration, Connection, Peer, Wrapper, decode_headers
from ..http2.frame_types import window_update
from ..http2.hpack import CachingDecoder, CachingEncoder
from ..limits import Limits
from .fair_share import FairShare
from .lean import LazyMethodTable, LeanEvent
from .memory_budget import MemoryBudget
from .stream import CallStream
from .write_buffer import WriteBuffer

__all__ = [
    "CHANNEL_CONFIG",
    "SERVER_CONFIG",
    "WireConnection",
    "h2_config",
    "h2_connection",
]


def h2_config(*, client_side: bool) -> H2Configuration:
    """grpclib's settings, but every byte of a header can be read: ours to judge, not h2's."""
    return H2Configuration(
        client_side=client_side,
        header_encoding="latin-1",
        validate_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        normalize_outbound_headers=False,
    )


def _windows(stream: int, connection: int) -> Configuration:
    """Bytes that may wait for the reader of one stream, and for those of all together."""
    return Configuration(http2_stream_window_size=stream, http2_connection_window_size=connection)


SERVER_CONFIG = _windows(512 * 1024, 1024 * 1024)
"""Messages of a few bytes take seven times as much memory as they take of the window."""

CHANNEL_CONFIG = _windows(4 * 1024 * 1024, 16 * 1024 * 1024)
"""A client has chosen its server, and may send long before it reads."""

KNOWN_SETTINGS = frozenset(SettingCodes)

MAX_UNCREDITED = 1024 * 1024
"""Bytes of messages larger than their windows, beside one message of the largest size."""

MAX_UNSENT = 2 * 1024 * 1024
"""Bytes of replies that may wait to be sent before no call is given another message."""

MAX_HEADER_TABLE = 4096
"""Bytes of the headers that are kept to be sent again in one byte; HTTP/2's default."""


class _H2Connection(H2Connection):
    """h2, bounded; one stream too many is not for it to answer, but for `WireEvents`."""

    MAX_CLOSED_STREAMS = 4096
    """Streams that are gone and of which h2 knows how they ended; by default it takes 10 MB."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config=config)
        self._frame_dispatch_table = cast(Any, LazyMethodTable(self, self._frame_dispatch_table))

    @property
    def open_inbound_streams(self) -> int:
        """Never too many, and h2 need not count them for each one that is opened."""
        return 0

    def _receive_headers_frame(self, frame: Any) -> Any:
        if self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
            # h2 has no rule for a 1xx answer that crosses the reset of its stream.
            decode_headers(self.decoder, frame.data)  # which may change the table
            raise StreamClosedError(frame.stream_id)
        try:
            return super()._receive_headers_frame(frame)
        except StreamClosedError as error:
            # Where h2 makes it it has a name for it: frames, and all that was received in them,
            # would wait for the garbage collector.
            raise error.with_traceback(None)  # noqa: B904

    def _handle_data_on_closed_stream(self, events: Any, exc: StreamClosedError, frame: Any) -> Any:
        return super()._handle_data_on_closed_stream(events, exc.with_traceback(None), frame)

    def _receive_settings_frame(self, frame: Any) -> Any:
        settings = {code: n for code, n in frame.settings.items() if code in KNOWN_SETTINGS}
        size = settings.get(SettingCodes.HEADER_TABLE_SIZE)
        if size is not None:  # the peer's is the largest that is allowed, not one that has to be
            settings[SettingCodes.HEADER_TABLE_SIZE] = min(size, MAX_HEADER_TABLE)
        frame.settings = settings
        return super()._receive_settings_frame(frame)


class _Settings(Settings):
    """h2's, in a tenth of its memory: a deque takes 760 bytes, and it has one for each setting."""

    def __init__(self, client: bool, initial_values: dict[SettingCodes, int] | None = None) -> None:
        super().__init__(client, initial_values)
        self._settings = cast(Any, {key: _Values(each) for key, each in self._settings.items()})

    def __setitem__(self, key: SettingCodes | int, value: int) -> None:
        cast(Any, self._settings).setdefault(key, _Values([None]))
        super().__setitem__(key, value)


class _Values(list[int | None]):
    def popleft(self) -> int | None:
        return self.pop(0)


def h2_connection(
    h2_config: H2Configuration, config: Configuration, limits: Limits
) -> H2Connection:
    """A connection that has said its SETTINGS and opened its window."""
    h2 = _H2Connection(config=h2_config)
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


class WireConnection(Connection):
    """grpclib's connection, with `WriteBuffer` for its transport."""

    peer_error: str | None = None
    """How the peer broke HTTP/2, when it did."""

    is_going_away = False
    """The peer takes no new calls on this connection."""

    peer_excess: str | None = None
    """Of what the peer sent more than the limits allow, when it did."""

    goaway: str | None = None
    """Why the peer ended the connection, when it said so."""

    def __init__(
        self,
        h2: H2Connection,
        write_buffer: WriteBuffer,
        config: Configuration,
        limits: Limits,
        fair_share: FairShare,
    ) -> None:
        super().__init__(h2, cast(asyncio.Transport, write_buffer), config=config)
        self.write_ready = LeanEvent(is_set=True)  # type: ignore[assignment] # as those of a stream
        self.stream_close_waiter = LeanEvent()  # type: ignore[assignment]
        self.write_buffer = write_buffer
        self.fair_share = fair_share
        self._peer = super().get_peer()
        self.limits = limits
        # A client, which has chosen its server, waits for its own answers.
        self.memory_budget = (
            MemoryBudget()
            if h2.config.client_side
            else MemoryBudget(limits.max_message_size + MAX_UNCREDITED, MAX_UNSENT)
        )
        self.arrivals: list[Callable[[], bool]] = []
        """What is to be done at the end of a turn, about messages that it brought."""
        self.openings: list[Callable[[], bool]] = []
        """What is to be done at the end of a read, which may have several, about its calls."""
        self.window_grew_at = -math.inf
        """When the peer has last taken something from all streams, by the loop's clock."""
        # Those that wait for a larger window, by id: their own, or the connection's and how large.
        self._own_blocked: dict[int, CallStream] = {}
        self._all_blocked: dict[int, tuple[CallStream, int]] = {}

    def create_stream(
        self, *, stream_id: int | None = None, wrapper: Wrapper | None = None
    ) -> CallStream:
        return CallStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )

    def get_peer(self) -> Peer:
        """The same for all calls."""
        return self._peer

    def flush(self) -> None:
        if not self.is_closing():
            super().flush()

    def ack(self, stream_id: int, size: int) -> None:
        """What h2's `acknowledge_received_data` does, without its frame objects."""
        h2 = self._connection
        if not size or h2.state_machine.state is ConnectionState.CLOSED or self.is_closing():
            return
        increment = h2._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            self.write_buffer.write(window_update(0, increment))
        stream = h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            increment = stream._inbound_window_manager.process_bytes(size)
            if increment:
                self.write_buffer.write(window_update(stream_id, increment))

    def end_of_turn(self, *, is_end_of_read: bool) -> None:
        """Deals with what has arrived."""
        due = self.arrivals
        if is_end_of_read and self.openings:
            due = self.openings + due
            self.openings = []
        if due:
            self.arrivals = []
            is_done = [deal() for deal in due]
            if all(is_done):
                self.write_buffer.flush_read()

    def window_updated(self, stream_id: int) -> None:
        """Wakes a stream that a larger window, its own or that of all (0), may help.

        Of those that wait for the window of all, one at a time: it may have room for no more.
        """
        if stream_id:
            if (stream := self._own_blocked.get(stream_id)) is not None:
                stream.window_updated.set()
            return
        self.window_grew_at = asyncio.get_running_loop().time()
        window = self._connection.outbound_flow_control_window
        for stream, least in self._all_blocked.values():
            if least <= window:
                stream.window_updated.set()
                break

    def is_blocked(self, stream_id: int) -> bool:
        """A message on the stream waits for a larger window."""
        return stream_id in self._own_blocked or stream_id in self._all_blocked

    def wait_for_window(self, stream: CallStream, least: int, *, is_own: bool) -> None:
        """Until `waited_for_window` the stream is woken when there is a window of `least` bytes.

        That is its own, which wakes it whenever it grows, or the connection's.
        """
        if is_own:
            self._own_blocked[stream.id] = stream
        else:
            self._all_blocked[stream.id] = stream, least

    def waited_for_window(self, stream: CallStream) -> None:
        self._own_blocked.pop(stream.id, None)
        self._all_blocked.pop(stream.id, None)
        if self._all_blocked and self._connection.outbound_flow_control_window > 0:
            # Once this one has taken what it needs; if nothing is left, that one waits on.
            asyncio.get_running_loop().call_soon(self.window_updated, 0)

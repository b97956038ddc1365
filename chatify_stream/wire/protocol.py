"""One HTTP/2 connection: grpclib's protocol, mended.

What grpclib 0.4.9 and h2 4.4 do wrong, and these subclasses do right:

- a frame of an unknown type dropped the connection (RFC 9113, 5.5: ignore it);
- a protocol error closed the connection without the GOAWAY that says why, and a header that is
  not ASCII without even that;
- one stream too many dropped the connection (now that stream alone is refused).

A connection is serving; then draining (its peer is asked to open no more calls); then taking no
more calls, and closing after its last one; then closed. Nothing goes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.settings import SettingCodes, Settings

from .frames import FrameReader, goaway, ping, window_update
from .grpclib_internals import (
    AbstractHandler,
    Configuration,
    Connection,
    EventsProcessor,
    H2Protocol,
    H2Stream,
    Wrapper,
    set_nodelay,
)
from .outbound import Outbound
from .stream import MAX_MESSAGE_SIZE, CallStream, StreamResetError

__all__ = [
    "MAX_CONCURRENT_STREAMS",
    "WireConnection",
    "WireProtocol",
    "h2_config",
]

log = logging.getLogger(__name__)

MAX_CONCURRENT_STREAMS = 1000
"""How many streams a peer may have open on one connection."""

SETTINGS = b"\x04"
"""The type of a SETTINGS frame, the fourth byte of its header."""

LAST_STREAM = 2**31 - 1
DRAIN_PING = b"draining"

DRAIN_PATIENCE = 1.0
"""Seconds that a peer has to notice that the server wants it to go."""

MAX_HEADER_LIST_SIZE = 16 * 1024
"""Bytes of decoded headers that a peer may send with one call (RFC 9113, 6.5.2)."""


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


class WireConnection(Connection):
    """What all streams of a connection share."""

    peer_error: str | None = None
    """How the peer broke HTTP/2, when it did."""

    def __init__(
        self,
        connection: H2Connection,
        outbound: Outbound,
        *,
        config: Configuration,
        max_message_size: int,
    ) -> None:
        super().__init__(connection, cast(asyncio.Transport, outbound), config=config)
        self.outbound = outbound
        self.max_message_size = max_message_size
        self.blocked: dict[int, CallStream] = {}
        """The streams that wait for a larger window, by id."""

    def create_stream(
        self, *, stream_id: int | None = None, wrapper: Wrapper | None = None
    ) -> CallStream:
        return CallStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )

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
            self.outbound.write(window_update(0, increment))
        stream = h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            increment = stream._inbound_window_manager.process_bytes(size)
            if increment:
                self.outbound.write(window_update(stream_id, increment))

    def window_updated(self, stream_id: int) -> None:
        """Wakes the streams that a larger window, of one stream or of all (0), may help."""
        if stream_id == 0:
            for stream in self.blocked.values():
                stream.window_updated.set()
        elif stream_id in self.blocked:
            self.blocked[stream_id].window_updated.set()


class _H2Connection(H2Connection):
    """h2, but for its answer to one stream too many, which is to end the connection."""

    @property
    def open_inbound_streams(self) -> int:
        return min(super().open_inbound_streams, MAX_CONCURRENT_STREAMS - 1)


class _WireEvents(EventsProcessor):
    def __init__(
        self,
        handler: AbstractHandler,
        connection: Connection,
        *,
        on_release: Callable[[], None],
        on_drain_ack: Callable[[], None],
    ) -> None:
        super().__init__(handler, connection)
        self._on_release = on_release
        self._on_drain_ack = on_drain_ack

    def register(self, stream: H2Stream) -> Callable[[], None]:
        """grpclib's, but the function that it returns may be called more than once."""
        release = super().register(stream)

        def release_once() -> None:
            if stream.id in self.streams:
                release()
                self._on_release()

        return release_once

    def process(self, event: Event) -> None:
        # What is left out: frames of unknown types, and events that need no answer of ours.
        if type(event) in getattr(self, "processors", ()):
            super().process(event)

    def process_request_received(self, event: RequestReceived) -> None:
        if len(self.streams) < MAX_CONCURRENT_STREAMS:
            super().process_request_received(event)
            return
        with suppress(H2ProtocolError):  # when the peer has reset it meanwhile
            self.connection._connection.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)

    def process_stream_ended(self, event: StreamEnded) -> None:
        stream = cast("CallStream | None", self.streams.get(event.stream_id))
        if stream is not None:
            stream.remote_ended = True
        super().process_stream_ended(event)

    def process_ping_ack_received(self, event: PingAckReceived) -> None:
        super().process_ping_ack_received(event)
        if event.ping_data == DRAIN_PING:
            self._on_drain_ack()

    def process_stream_reset(self, event: StreamReset) -> None:
        self.connection.streams_failed += 1
        stream = cast("CallStream | None", self.streams.get(event.stream_id))
        if stream is not None:
            code = event.error_code if event.remote_reset else ErrorCodes.PROTOCOL_ERROR
            stream.terminate(StreamResetError(int(code or 0)))
            self.handler.cancel(stream)


class WireProtocol(H2Protocol):
    """One connection, of a server or of a channel."""

    connection: WireConnection

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        *,
        max_message_size: int = MAX_MESSAGE_SIZE,
        on_open: Callable[[WireProtocol], None] | None = None,
        on_close: Callable[[WireProtocol], None] | None = None,
        on_last_call: Callable[[], None] | None = None,
    ) -> None:
        """`on_last_call`: from then on, a call that is opened is to be refused."""
        super().__init__(handler, config, h2_config)
        self._on_open = on_open
        self._on_close = on_close
        self._on_last_call = on_last_call
        self._is_draining = False
        self._is_last_call_in = False
        self.is_going_away = False
        """The peer takes no new calls on this connection."""
        self._is_silent = True
        self._max_message_size = max_message_size

    @property
    def is_idle(self) -> bool:
        """No call is open on this connection."""
        return not self.processor.streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            set_nodelay(sock)
        client_side = bool(self.h2_config.client_side)
        h2_connection = _H2Connection(config=self.h2_config)
        h2_connection.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_SIZE,
                SettingCodes.INITIAL_WINDOW_SIZE: self.config.http2_stream_window_size,
            },
        )
        h2_connection.decoder.max_header_list_size = MAX_HEADER_LIST_SIZE
        h2_connection.initiate_connection()
        increment = (
            self.config.http2_connection_window_size - h2_connection.inbound_flow_control_window
        )
        if increment > 0:
            h2_connection.increment_flow_control_window(increment)

        outbound = Outbound(transport)
        self.connection = WireConnection(
            h2_connection,
            outbound,
            config=self.config,
            max_message_size=self._max_message_size,
        )
        self.connection.flush()
        self.connection.initialize()
        self.processor = _WireEvents(
            self.handler,
            self.connection,
            on_release=self._released,
            on_drain_ack=self._drain_acknowledged,
        )
        self._reader = FrameReader(
            h2_connection,
            self.processor.streams,
            to_h2=self._to_h2,
            on_window=self.connection.window_updated,
            on_ping=outbound.write,
            on_goaway=self._goaway_received,
        )
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        try:
            if self._is_silent:
                self._is_silent = False
                self._check_greeting(data)
            with self.connection.outbound:
                self._reader.feed(data)
        except H2ProtocolError as error:
            # On a client's side its calls say so, too.
            level = logging.DEBUG if self.h2_config.client_side else logging.INFO
            log.log(level, "a connection is closed because the peer broke HTTP/2: %s", error)
            self.connection.peer_error = str(error)
            self._say_goaway(error.error_code)
            self.processor.close("the peer broke HTTP/2")

    def _to_h2(self, data: bytes) -> bool:
        """Hands whole frames to h2; says whether the connection goes on."""
        events = self.connection.feed(data)
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        self.connection.flush()
        return not self.connection.is_closing()

    def _check_greeting(self, data: bytes) -> None:
        """A server's first frame is SETTINGS (RFC 9113, 3.4).

        h2 checks a client's preface, but what an HTTP/1 or TLS server says it takes for the
        header of a huge frame, and waits for its end.
        """
        if self.h2_config.client_side and data[3:4] not in (b"", SETTINGS):
            raise H2ProtocolError(f"it began with {data[:24]!r}")

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        # Whoever waits for a turn to open a call has to look again.
        self.connection.write_ready.set()
        self.connection.stream_close_waiter.set()
        if self._on_close is not None:
            self._on_close(self)

    def drain(self) -> None:
        """A server asks its peer to go, and closes the connection when its calls have ended.

        The first GOAWAY refuses nothing; a PING after it is answered when the peer has read it,
        and from then on opens no calls (RFC 9113, 6.8). A peer that does not answer is taken to
        have read it after a second; one that has not said a word yet is cut off.
        """
        if self._is_draining:
            return
        self._is_draining = True
        if self._is_silent:
            self.abort()
        elif not self.connection.is_closing():
            self.connection.outbound.write(goaway(LAST_STREAM, ErrorCodes.NO_ERROR))
            self.connection.outbound.write(ping(DRAIN_PING))
            asyncio.get_running_loop().call_later(DRAIN_PATIENCE, self._drain_acknowledged)

    def close_when_idle(self) -> None:
        """Closes the connection, with a GOAWAY, as soon as no call is open on it."""
        self._is_draining = self._is_last_call_in = True
        if self._on_last_call is not None:
            self._on_last_call()
        self._released()

    def _drain_acknowledged(self) -> None:
        if self._is_draining:
            self.close_when_idle()

    def _goaway_received(self, last_stream_id: int, error_code: int) -> bool:
        """The peer goes without haste: open calls go on, but for those it has not taken."""
        if error_code != ErrorCodes.NO_ERROR:
            return False
        self.is_going_away = True
        if self.h2_config.client_side:  # a client's GOAWAY is about pushes, which there are none of
            for stream_id, stream in list(self.processor.streams.items()):
                if stream_id > last_stream_id:
                    cast(CallStream, stream).terminate(StreamResetError(ErrorCodes.REFUSED_STREAM))
        self.close_when_idle()
        return True

    def abort(self) -> None:
        """Closes the connection now; what has not been sent is lost."""
        self.connection.outbound.abort()

    def _released(self) -> None:
        if self._is_last_call_in and self.is_idle and not self.connection.is_closing():
            self._say_goaway(ErrorCodes.NO_ERROR)
            self.processor.close("the connection was drained")

    def _say_goaway(self, error_code: ErrorCodes) -> None:
        h2_connection = self.connection._connection
        # h2 has written one already for most errors, but not for a wrong preface.
        if h2_connection.state_machine.state is not ConnectionState.CLOSED:
            h2_connection.close_connection(error_code)
        self.connection.flush()

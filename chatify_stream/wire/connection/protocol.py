"""One HTTP/2 connection: the asyncio protocol, bounded and with an orderly end.

grpclib 0.4.9 and h2 4.4 dropped the connection for a frame of an unknown type (RFC 9113, 5.5:
ignore it), closed it after a protocol error without the GOAWAY that gives the reason, and waited
for ever for a peer that was gone or did not read.

States: serving, then draining (the peer is asked to open no more calls), then refusing calls and
closing after the last one, then closed. A connection never returns to an earlier state.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, cast

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError

from ...limits import Limits
from ..grpclib_internals import Configuration, Headers
from ..http2.flood import FloodError, FrameBudget
from ..http2.frame_reader import FrameReader
from ..http2.frame_types import ACK, goaway, ping
from ..http2.h2_connection import h2_connection
from ..http2.keepalive import Liveness, Verdict
from .connection import WireConnection
from .event_handler import EventHandler, StreamHandler
from .fair_share import FairShare
from .statistics import ConnectionStatistics, Totals
from .stream import StreamResetError, error_name
from .write_buffer import WriteBuffer

log = logging.getLogger(__name__)

LAST_STREAM = 2**31 - 1
"""The id of the last stream that a connection can have (RFC 9113, 5.1.1)."""
DRAIN_PING = b"draining"
KEEPALIVE_PING = b"you here"

MAX_REASON_SIZE = 200
"""Bytes of a peer's GOAWAY that are shown."""

DRAIN_TIMEOUT = 1.0
"""Seconds for the peer to answer the PING that follows the first GOAWAY."""

READ_SIZE = 256 * 1024


class ConnectionOwner(Protocol):
    """Keeps the open connections of a server or a channel."""

    def add(self, connection: WireProtocol, address: str | None) -> bool:
        """Add a connection with the peer's IP address. Return False if a limit is reached."""

    def discard(self, connection: WireProtocol) -> None:
        """Remove a connection that is closed."""


class WireProtocol(asyncio.BufferedProtocol):
    connection: WireConnection
    events: EventHandler

    def __init__(
        self,
        handler: StreamHandler | None,
        config: Configuration,
        h2_config: H2Configuration,
        limits: Limits,
        *,
        owner: ConnectionOwner,
        read_buffer: memoryview,
        fair_share: FairShare,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`handler`: serves the peer's calls; None on a client.

        `read_buffer`: where asyncio puts received data first; connections may share it.
        `fair_share`: shared by the connections among which this one takes turns.
        `extra` takes precedence over the transport in `get_extra_info`.
        """
        self._handler = handler
        self._config = config
        self._h2_config = h2_config
        self._limits = limits
        self._owner = owner
        self._read_buffer = read_buffer
        self._fair_share = fair_share
        self._extra = extra or {}
        self._is_open = False
        self._is_draining = False
        self._is_refusing_calls = False
        self._address: str | None = None
        self._traffic_at_ping = (-1, -1, -1)
        self._timer: asyncio.TimerHandle | None = None
        self._next_quantum: asyncio.Handle | None = None
        self.bytes_received = 0
        self.ended_by: str | None = None
        """Why this side ended the connection: a limit or a violation by the peer, or None."""

    @property
    def is_idle(self) -> bool:
        return not self.connection.streams

    def statistics(self) -> ConnectionStatistics:
        """Return the counters of this connection so far."""
        connection, write_buffer = self.connection, self.connection.write_buffer
        return ConnectionStatistics(
            peer=self._address,
            age=self._loop.time() - self._opened_at,
            is_draining=self._is_draining,
            streams=len(connection.streams),
            streams_opened=connection.streams_started,
            messages_received=connection.messages_received,
            messages_sent=write_buffer.messages_sent,
            bytes_received=self.bytes_received,
            bytes_sent=write_buffer.bytes_sent,
            bytes_unsent=write_buffer.buffered_bytes,
        )

    def add_to(self, totals: Totals) -> None:
        """Add the counters to `totals`, quickly, as a server may have many connections."""
        connection = self.connection
        totals.streams_opened += connection.streams_started
        totals.messages_received += connection.messages_received
        totals.messages_sent += connection.write_buffer.messages_sent
        totals.bytes_received += self.bytes_received
        totals.bytes_sent += connection.write_buffer.bytes_sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the SETTINGS, unless the owner has no room for the connection."""
        transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._address = ip_address_of(transport, self._extra)
        self._opened_at = self._loop.time()
        self._is_open = self._owner.add(self, self._address)
        if not self._is_open:
            transport.abort()
            return
        limits = self._limits
        h2 = h2_connection(self._h2_config, self._config, limits)
        write_buffer = WriteBuffer(
            transport, h2, limits.max_control_backlog, limits.write_timeout, self._extra
        )
        self.connection = WireConnection(
            h2, write_buffer, limits, self._fair_share, self.stream_released
        )
        self._budget = FrameBudget(limits, self._loop.time)
        self._liveness = Liveness(limits, self._loop.time(), random.uniform(0.9, 1.1))  # noqa: S311
        self.events = EventHandler(
            self._handler, self.connection, self._budget, self._liveness, self._ping_acknowledged
        )
        self._reader = FrameReader(
            h2,
            self.connection.streams,
            self._budget,
            self,
            limits.max_header_block_size,
            limits.max_concurrent_streams,
        )
        self.connection.flush()
        self._watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer: asyncio calls `buffer_updated` before any other code."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle received data; if it takes long, pause and go on after other connections."""
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing():
            return
        liveness = self._liveness
        liveness.received_at = self._loop.time()
        if liveness.pinged_at is not None:
            liveness.pinged_at = None
            self._watch()
        self.bytes_received += len(data)
        if not self._read(data) and self._next_quantum is None:
            write_buffer.pause_reading("turn")
            self._fair_share.waiting += 1
            self._await_quantum(self._fair_share.pauses)

    def _read(self, data: bytes) -> bool:
        """Handle received data. Return False when some of it is left for the next quantum."""
        is_done = True
        try:
            with self.connection.write_buffer:
                is_done = self._reader.feed(data, self._fair_share.quantum.frames)
                self._dispatch(is_end_of_read=is_done)
        except H2ProtocolError as error:
            self._peer_failed(error)
        return is_done

    def _dispatch(self, *, is_end_of_read: bool) -> None:
        connection = self.connection
        due = connection.arrivals
        if is_end_of_read and connection.openings:
            due = connection.openings + due
            connection.openings = []
        if due:
            connection.arrivals = []
            is_done = [dispatch() for dispatch in due]
            if all(is_done):
                connection.write_buffer.flush_read()

    def _await_quantum(self, pauses: int) -> None:
        step = partial(self._await_quantum, pauses - 1) if pauses else self._go_on
        self._next_quantum = self._loop.call_soon(step)

    def _go_on(self) -> None:
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing() or self._read(b""):  # the rest of a closed one is dropped
            self._next_quantum = None
            self._fair_share.waiting -= 1
            write_buffer.resume_reading("turn")
        else:
            self._await_quantum(self._fair_share.pauses)

    def _peer_failed(self, error: H2ProtocolError) -> None:
        """End the connection with a GOAWAY that gives the reason."""
        # On a client the calls report it, too.
        level = logging.DEBUG if self._h2_config.client_side else logging.INFO
        log.log(level, "closing connection from %s: HTTP/2 violation: %s", self._address, error)
        if isinstance(error, FloodError):
            self.ended_by = self.connection.peer_excess = str(error)
        else:
            self.ended_by, self.connection.peer_error = "protocol_error", str(error)
        self.connection.send_goaway(error.error_code, str(error))
        self.connection.write_buffer.close_and_linger()
        self.events.close("the peer violated HTTP/2")

    def feed_h2(self, data: bytes) -> bool:
        """Give complete frames to h2. Return False when the connection is closing."""
        connection = self.connection
        events = connection.h2.receive_data(data)
        connection.flush()
        for event in events:
            self.events.process(event)
        connection.flush()
        return not connection.is_closing()

    def greeting_received(self) -> None:
        """Note that the peer has sent its preface and SETTINGS."""
        self._liveness.handshake_done()
        self._watch()

    def request_received(self, stream_id: int, headers: Headers) -> None:
        self.events.request_received(stream_id, headers)

    def stream_ended(self, stream_id: int) -> None:
        self.events.stream_ended(stream_id)

    def window_updated(self, stream_id: int) -> None:
        self.connection.window_updated(stream_id)

    def late_data_received(self, stream_id: int, size: int) -> None:
        self.connection.write_buffer.return_window(stream_id, size)

    def ping_received(self, data: bytes) -> None:
        """Answer a PING. It counts if no message was exchanged since the last one.

        grpc-go sends a PING with nearly every message, to measure the connection.
        """
        connection = self.connection
        write_buffer = connection.write_buffer
        traffic = (self._reader.data_frames, write_buffer.data_frames, connection.streams_started)
        if traffic == self._traffic_at_ping:
            self._budget.spend("pings")
        self._traffic_at_ping = traffic
        write_buffer.write(ping(data, ACK))

    def _ping_acknowledged(self, data: bytes) -> None:
        if data == DRAIN_PING and self._is_draining:
            self.close_when_idle()

    def pause_writing(self) -> None:
        self.connection.write_ready.clear()
        write_buffer = self.connection.write_buffer
        write_buffer.block()
        self._liveness.write_blocked(self._loop.time(), write_buffer.unacked_bytes)
        self._watch()

    def resume_writing(self) -> None:
        self.connection.write_ready.set()
        self.connection.write_buffer.unblock()
        self._liveness.write_unblocked()

    def _watch(self) -> None:
        """Set the timer for the next verdict, unless it is set to an earlier time."""
        due_at = self._liveness.due_at
        if self._timer is not None:
            if self._timer.when() <= due_at:
                return
            self._timer.cancel()
        self._timer = None if due_at == math.inf else self._loop.call_at(due_at, self._check)

    def _check(self) -> None:
        self._timer = None
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing():
            return
        now = self._loop.time()
        verdict = self._liveness.check(now, write_buffer.unacked_bytes)
        if verdict is Verdict.PING:
            if self._may_ping():
                write_buffer.write(ping(KEEPALIVE_PING))
            else:
                self._liveness.data_received(now)  # which postpones the PING
        elif verdict in (Verdict.DRAIN_IDLE, Verdict.DRAIN_OLD):
            self.ended_by = verdict.ended_by
            self.drain(verdict.ended_by)
        elif verdict is Verdict.END_OLD:
            self.end_calls()
        elif verdict is not Verdict.KEEP:
            log.info("aborting connection from %s: %s", self._address, verdict.text)
            self.ended_by = verdict.ended_by
            self.abort()
            return
        self._watch()

    def _may_ping(self) -> bool:
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        connection = self.connection
        connection.write_buffer.connection_lost()
        if connection.write_buffer.is_backlog_full:
            self.ended_by = "max_control_backlog"
        if self._timer is not None:
            self._timer.cancel()
        self.events.close("the connection was lost")
        # Tasks that wait to open or to continue a call check the connection again.
        connection.write_ready.set()
        connection.stream_closed.set()
        self._owner.discard(self)

    def drain(self, reason: str = "") -> None:
        """Ask a server's peer to go, and close the connection when its calls have ended.

        The first GOAWAY refuses nothing. The PING that follows it is answered after the peer has
        read the GOAWAY, and from then on the peer opens no calls (RFC 9113, 6.8). After a second
        without an answer the GOAWAY counts as read. A peer that has sent nothing yet is
        disconnected.
        """
        if self._is_draining:
            return
        self._is_draining = True
        if not self.bytes_received:
            self.abort()
        elif not self.connection.is_closing():
            write_buffer = self.connection.write_buffer
            write_buffer.write(goaway(LAST_STREAM, ErrorCodes.NO_ERROR, reason))
            write_buffer.write(ping(DRAIN_PING))
            self._loop.call_later(DRAIN_TIMEOUT, self.close_when_idle)

    def end_calls(self) -> None:
        """End a server's open calls with UNAVAILABLE, and then the connection."""
        if self._handler is not None:
            self._handler.end_calls()
        self.close_when_idle()

    def close_when_idle(self) -> None:
        """Refuse new calls, and close the connection with a GOAWAY when no call is open."""
        self._is_draining = self._is_refusing_calls = True
        self._refuse_calls()
        self.stream_released()

    def _refuse_calls(self) -> None:
        if self._handler is not None:
            self._handler.refuse_new_calls()

    def goaway_received(self, last_stream_id: int, error_code: int, reason: bytes) -> bool:
        """Handle a GOAWAY. Return False to give it to h2, which closes the connection.

        With NO_ERROR open calls continue, except those that the peer has not accepted.
        """
        connection = self.connection
        if error_code != ErrorCodes.NO_ERROR:
            name = error_name(error_code)
            text = reason[:MAX_REASON_SIZE].decode("ascii", "backslashreplace")
            connection.goaway = f"{name}: {text}" if text else name
            if not self._h2_config.client_side:  # what the peer still sends need not cause a reset
                connection.send_goaway(ErrorCodes.NO_ERROR)
                connection.write_buffer.close_and_linger()
                self.events.close("the peer ended the connection")
                return True
            return False
        connection.is_going_away = True
        connection.stream_closed.set()  # for tasks that wait to open a call on the connection
        if self._h2_config.client_side:  # a client's GOAWAY concerns pushes, and there are none
            for stream_id, stream in list(connection.streams.items()):
                if stream_id > last_stream_id:
                    stream.terminate(StreamResetError(ErrorCodes.REFUSED_STREAM))
        self.close_when_idle()
        return True

    def abort(self) -> None:
        """Close the connection now and discard unsent data."""
        self.connection.write_buffer.abort()

    def stream_released(self) -> None:
        """Close the connection after its last call if it accepts no more calls."""
        connection = self.connection
        if self._is_refusing_calls and self.is_idle and not connection.is_closing():
            connection.send_goaway(ErrorCodes.NO_ERROR)
            if connection.is_going_away and not self._h2_config.client_side:
                # The peer may have sent a PING after its GOAWAY.
                connection.write_buffer.close_and_linger()
            self.events.close("the connection was drained")


def ip_address_of(
    transport: asyncio.Transport, extra: Mapping[str, Any] | None = None
) -> str | None:
    """Return the peer's IP address, or None on a Unix socket."""
    peer = (extra or {}).get("peername") or transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None

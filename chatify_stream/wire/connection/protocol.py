"""One HTTP/2 connection: grpclib's protocol, mended and bounded.

What grpclib 0.4.9 and h2 4.4 do wrong, and this subclass does right: a frame of an unknown type
dropped the connection (RFC 9113, 5.5: ignore it); a protocol error closed it without the GOAWAY
that says why, and a header that is not ASCII without even that; a peer that is gone, or does not
read, was waited for.

A connection is serving; then draining (its peer is asked to open no more calls); then taking no
more calls, and closing after its last one; then closed. Nothing goes back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError

from ..grpclib_internals import AbstractHandler, Configuration, H2Protocol, set_nodelay
from ..http2.flood import FloodError, FrameBudget
from ..http2.frame_reader import FrameReader
from ..http2.frame_types import ACK, goaway, ping
from ..http2.hpack import CachingDecoder
from ..http2.keepalive import Liveness, Verdict
from ..limits import Limits
from .connection import WireConnection, h2_connection
from .event_handler import WireEvents
from .fair_share import FairShare
from .statistics import ConnectionStatistics, Totals
from .stream import CallStream, StreamResetError, error_name
from .write_buffer import WriteBuffer

__all__ = ["READ_SIZE", "WireProtocol", "ip_address_of"]

log = logging.getLogger(__name__)

LAST_STREAM = 2**31 - 1
DRAIN_PING = b"draining"
KEEPALIVE_PING = b"you here"

MAX_REASON_SIZE = 200
"""Bytes of a peer's GOAWAY that are shown."""

DRAIN_TIMEOUT = 1.0
"""Seconds that a peer has to notice that the server wants it to go."""


READ_SIZE = 256 * 1024


class WireProtocol(H2Protocol, asyncio.BufferedProtocol):
    """One connection, of a server or of a channel."""

    connection: WireConnection
    processor: WireEvents

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        limits: Limits,
        *,
        on_open: Callable[[WireProtocol, str | None], bool],
        on_close: Callable[[WireProtocol], None],
        read_buffer: memoryview,
        fair_share: FairShare,
        on_last_call: Callable[[], None] = lambda: None,
        on_too_old: Callable[[], None] = lambda: None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`extra`: what the transport's `get_extra_info` does not know, or has wrong.

        `read_buffer` is where what is received is put first; connections may share one, and are
        each other's `fair_share`.

        `on_open` gets the peer's IP address and says whether there is room for the connection.

        `on_last_call`: from then on, a call that is opened is to be refused. `on_too_old`: the
        calls that are open have to end.
        """
        super().__init__(handler, config, h2_config)
        self._limits = limits
        self._read_buffer = read_buffer
        self._fair_share = fair_share
        self._on_open = on_open
        self._on_close = on_close
        self._on_last_call = on_last_call
        self._on_too_old = on_too_old
        self._extra = extra or {}
        self._is_open = False
        self._is_draining = False
        self._is_last_call_in = False
        self._address: str | None = None
        self._traffic_at_ping = (-1, -1, -1)
        self._timer: asyncio.TimerHandle | None = None
        self._next_turn: asyncio.Handle | None = None
        self.bytes_received = 0
        self.ended_by: str | None = None
        """Why this side ended the connection, when a limit or the peer's fault was the reason."""

    @property
    def is_going_away(self) -> bool:
        """The peer takes no new calls on this connection."""
        return self.connection.is_going_away

    @property
    def is_idle(self) -> bool:
        """No call is open on this connection."""
        return not self.processor.streams

    def statistics(self) -> ConnectionStatistics:
        """What has come and gone on this connection so far."""
        connection, write_buffer = self.connection, self.connection.write_buffer
        return ConnectionStatistics(
            peer=self._address,
            age=self._loop.time() - self._opened_at,
            is_draining=self._is_draining,
            streams=len(self.processor.streams),
            streams_opened=connection.streams_started,
            messages_received=connection.messages_received,
            messages_sent=connection.messages_sent,
            bytes_received=self.bytes_received,
            bytes_sent=write_buffer.bytes_sent,
            bytes_unsent=write_buffer.buffered_bytes,
        )

    def add_to(self, totals: Totals) -> None:
        """Adds what has come and gone: quickly, as a server may have many connections."""
        connection = self.connection
        totals.streams_opened += connection.streams_started
        totals.messages_received += connection.messages_received
        totals.messages_sent += connection.messages_sent
        totals.bytes_received += self.bytes_received
        totals.bytes_sent += connection.write_buffer.bytes_sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        sock = transport.get_extra_info("socket")
        if sock is not None:
            set_nodelay(sock)
        self._address = ip_address_of(transport, self._extra)
        self._opened_at = self._loop.time()
        self._is_open = self._on_open(self, self._address)
        if not self._is_open:
            transport.abort()
            return
        limits = self._limits
        write_buffer = WriteBuffer(
            transport, limits.max_control_backlog, limits.write_timeout, self._extra
        )
        h2 = h2_connection(self.h2_config, self.config, limits)
        self.connection = WireConnection(h2, write_buffer, self.config, limits, self._fair_share)
        budget = FrameBudget(limits, self._loop.time)
        self._liveness = Liveness(limits, self._loop.time(), random.uniform(0.9, 1.1))  # noqa: S311
        self.processor = WireEvents(
            self.handler,
            self.connection,
            budget,
            on_call=self._liveness.call_opened,
            on_release=self._released,
            on_ping_ack=self._ping_acknowledged,
        )
        self._budget = budget
        self._reader = FrameReader(
            h2,
            self.processor.streams,
            budget,
            decoder=cast(CachingDecoder, h2.decoder),
            max_header_block_size=limits.max_header_block_size,
            max_streams=limits.max_concurrent_streams,
            to_h2=self._to_h2,
            on_greeting=self._greeted,
            on_request=self.processor.request,
            on_end=self.processor.end,
            on_window=self.connection.window_updated,
            on_late_data=self.connection.ack,
            on_ping=self._ping_received,
            on_goaway=self._goaway_received,
        )
        self.connection.flush()
        if self.h2_config.client_side:  # grpclib's own keepalive; a server's is in `liveness`
            self.connection.initialize()
        self._watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio reads into it, and calls `buffer_updated` before anything else runs."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing():
            return
        if self._liveness.data_received(self._loop.time()):
            self._watch()
        self.bytes_received += len(data)
        if not self._read(data) and self._next_turn is None:
            write_buffer.pause_reading("turn")
            self._fair_share.waiting += 1
            self._await_turn(self._fair_share.pauses)

    def _read(self, data: bytes) -> bool:
        """Deals with what was received; False when more of it is left to the next turn."""
        connection = self.connection
        is_done = True
        try:
            with connection.write_buffer:
                is_done = self._reader.feed(data, self._fair_share.quantum.frames)
                connection.end_of_turn(is_end_of_read=is_done)
        except H2ProtocolError as error:
            self._peer_failed(error)
        return is_done

    def _await_turn(self, pauses: int) -> None:
        if pauses:
            self._next_turn = self._loop.call_soon(self._await_turn, pauses - 1)
        else:
            self._next_turn = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing() or self._read(b""):  # what is left may be thrown away
            self._next_turn = None
            self._fair_share.waiting -= 1
            write_buffer.resume_reading("turn")
        else:
            self._await_turn(self._fair_share.pauses)

    def _peer_failed(self, error: H2ProtocolError) -> None:
        """Ends the connection, and tells the peer what it did."""
        # On a client's side its calls say so, too.
        level = logging.DEBUG if self.h2_config.client_side else logging.INFO
        log.log(level, "%s broke HTTP/2, its connection is closed: %s", self._address, error)
        self.ended_by = str(error) if isinstance(error, FloodError) else "protocol_error"
        if isinstance(error, FloodError):
            self.connection.peer_excess = str(error)
        else:
            self.connection.peer_error = str(error)
        self._say_goaway(error.error_code, str(error))
        self.connection.write_buffer.close_and_linger()
        self.processor.close("the peer broke HTTP/2")

    def _to_h2(self, data: bytes) -> bool:
        """Hands whole frames to h2; says whether the connection goes on."""
        events = self.connection.feed(data)
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        self.connection.flush()
        return not self.connection.is_closing()

    def _greeted(self) -> None:
        self._liveness.handshake_done()
        self._watch()

    def _ping_received(self, data: bytes) -> None:
        """Answers; and a PING for which no message came or went since the last one counts.

        grpc-go sends one with nearly every message, to measure the connection.
        """
        write_buffer = self.connection.write_buffer
        calls = self.connection.streams_started
        traffic = (self._reader.data_frames, write_buffer.data_frames, calls)
        if traffic == self._traffic_at_ping:
            self._budget.spend("pings")
        self._traffic_at_ping = traffic
        write_buffer.write(ping(data, ACK))

    def _ping_acknowledged(self, data: bytes) -> None:
        if data == DRAIN_PING:
            self._drain_acknowledged()

    def pause_writing(self) -> None:
        super().pause_writing()
        write_buffer = self.connection.write_buffer
        write_buffer.block()
        self._liveness.write_blocked(self._loop.time(), write_buffer.unacked_bytes)
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.connection.write_buffer.unblock()
        self._liveness.write_unblocked()

    def _watch(self) -> None:
        """Sets the timer to when the connection has to be looked at, unless it comes earlier."""
        due_at = self._liveness.due_at
        if self._timer is not None:
            if self._timer.when() <= due_at:
                return
            self._timer.cancel()
        self._timer = None if due_at == math.inf else self._loop.call_at(due_at, self._look)

    def _look(self) -> None:
        self._timer = None
        write_buffer = self.connection.write_buffer
        if write_buffer.is_closing():
            return
        verdict = self._liveness.check(self._loop.time(), write_buffer.unacked_bytes)
        if verdict is Verdict.PING:
            write_buffer.write(ping(KEEPALIVE_PING))
        elif verdict in (Verdict.DRAIN_IDLE, Verdict.DRAIN_OLD):
            self.ended_by = verdict.ended_by
            self.drain(verdict.ended_by)
        elif verdict is Verdict.END_OLD:
            self._on_too_old()
            self.close_when_idle()
        elif verdict is not Verdict.KEEP:
            log.info("aborting connection from %s: %s", self._address, verdict.text)
            self.ended_by = verdict.ended_by
            self.abort()
            return
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self.connection.write_buffer.lost()
        if self.connection.write_buffer.is_backlog_full:
            self.ended_by = "max_control_backlog"
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        # Whoever waits for a turn to open a call has to look again.
        self.connection.write_ready.set()
        self.connection.stream_close_waiter.set()
        self._on_close(self)

    def drain(self, reason: str = "") -> None:
        """A server asks its peer to go, and closes the connection when its calls have ended.

        The first GOAWAY refuses nothing; a PING after it is answered when the peer has read it,
        and from then on opens no calls (RFC 9113, 6.8). A peer that does not answer is taken to
        have read it after a second; one that has not said a word yet is cut off.
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
            self._loop.call_later(DRAIN_TIMEOUT, self._drain_acknowledged)

    def close_when_idle(self) -> None:
        """Closes the connection, with a GOAWAY, as soon as no call is open on it."""
        self._is_draining = self._is_last_call_in = True
        self._on_last_call()
        self._released()

    def _drain_acknowledged(self) -> None:
        if self._is_draining:
            self.close_when_idle()

    def _goaway_received(self, last_stream_id: int, error_code: int, reason: bytes) -> bool:
        """The peer goes without haste: open calls go on, but for those it has not taken."""
        if error_code != ErrorCodes.NO_ERROR:
            name = error_name(error_code)
            text = reason[:MAX_REASON_SIZE].decode("ascii", "backslashreplace")
            self.connection.goaway = f"{name}: {text}" if text else name
            if not self.h2_config.client_side:  # what it still sends is not worth a reset
                self._say_goaway(ErrorCodes.NO_ERROR)
                self.connection.write_buffer.close_and_linger()
                self.processor.close("the peer ended the connection")
                return True
            return False
        self.connection.is_going_away = True
        self.connection.stream_close_waiter.set()  # for those who wait to open a call on it
        if self.h2_config.client_side:  # a client's GOAWAY is about pushes, which there are none of
            for stream_id, stream in list(self.processor.streams.items()):
                if stream_id > last_stream_id:
                    cast(CallStream, stream).terminate(StreamResetError(ErrorCodes.REFUSED_STREAM))
        self.close_when_idle()
        return True

    def abort(self) -> None:
        """Closes the connection now; what has not been sent is lost."""
        self.connection.write_buffer.abort()

    def _released(self) -> None:
        if self._is_last_call_in and self.is_idle and not self.connection.is_closing():
            self._say_goaway(ErrorCodes.NO_ERROR)
            if self.connection.is_going_away and not self.h2_config.client_side:
                # The peer may have sent a PING after its GOAWAY.
                self.connection.write_buffer.close_and_linger()
            self.processor.close("the connection was drained")

    def _say_goaway(self, error_code: ErrorCodes, reason: str = "") -> None:
        h2 = self.connection._connection
        if h2.state_machine.state is not ConnectionState.CLOSED:
            h2.close_connection(error_code)
        h2.clear_outbound_data_buffer()  # h2's own GOAWAY has no text
        self.connection.write_buffer.write(goaway(h2.highest_inbound_stream_id, error_code, reason))


def ip_address_of(
    transport: asyncio.Transport, extra: Mapping[str, Any] | None = None
) -> str | None:
    """That of the peer; None on a Unix socket."""
    peer = (extra or {}).get("peername") or transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None

"""Apply h2's events, and the frames that `FrameReader` handles itself, to the streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from ..grpclib_internals import Headers
from ..http2.flood import FrameBudget
from ..http2.header_rules import request_fault, response_fault, trailers_fault
from ..http2.hpack import CachedHeaders
from ..http2.keepalive import Liveness
from .connection import WireConnection
from .stream import CallStream, MalformedError, StreamResetError

log = logging.getLogger(__name__)

MAX_ENDED_AT_ONCE = 4
"""Streams of a lost connection that end before other tasks run."""


class StreamHandler(Protocol):
    """The server's side of calls, for one connection."""

    def accept(self, stream: CallStream, headers: Headers) -> None:
        """Serve a new call. Raise h2's `ProtocolError` to end the connection."""

    def cancel(self, stream: CallStream) -> None:
        """The peer has reset the stream."""

    def close(self) -> None:
        """The connection is closed."""

    def refuse_new_calls(self) -> None:
        """The connection is about to close: refuse later calls."""

    def end_calls(self) -> None:
        """End the open calls of the connection, and refuse later ones."""


@dataclass(eq=False, repr=False, slots=True)
class EventHandler:
    """Brings events to the streams of one connection. Ignores events that need no action."""

    _handler: StreamHandler | None
    """Serves calls; None on a client."""
    _connection: WireConnection
    _budget: FrameBudget
    _liveness: Liveness
    _on_ping_ack: Callable[[bytes], None]
    _valid_headers: Headers | None = None
    _is_closed: bool = False

    def close(self, reason: str = "the connection was closed") -> None:
        """Close the connection and terminate its streams, a few at a time."""
        self._is_closed = True
        self._connection.close()
        if self._handler is not None:
            self._handler.close()
        self._terminate(list(self._connection.streams.values()), reason)

    def _terminate(self, streams: Sequence[CallStream], reason: str) -> None:
        for stream in streams[:MAX_ENDED_AT_ONCE]:
            stream.terminate(StreamTerminatedError(reason))
        if rest := streams[MAX_ENDED_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._terminate, rest, reason)

    def process(self, event: Any) -> None:
        if self._is_closed:
            return
        connection, stream_id = self._connection, getattr(event, "stream_id", 0)
        headers: Headers = getattr(event, "headers", [])
        stream = connection.streams.get(stream_id)
        match event:
            case RequestReceived():
                self.request_received(stream_id, headers)
            case ResponseReceived():
                if self._is_valid(stream_id, response_fault(headers)) and stream is not None:
                    stream.headers = headers
                    stream.headers_received.set()
            case TrailersReceived():
                if self._is_valid(stream_id, trailers_fault(headers)) and stream is not None:
                    stream.trailers = headers
                    stream.trailers_received.set()
            case DataReceived() if stream is not None:
                stream.inbox.add(event.data, event.flow_controlled_length)
            case DataReceived():
                connection.write_buffer.return_window(stream_id, event.flow_controlled_length)
            case WindowUpdated() if stream_id:
                if stream is not None:
                    stream.window_updated.set()
            case WindowUpdated():
                self._windows_updated()
            case RemoteSettingsChanged():
                if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
                    self._windows_updated()
            case StreamEnded():
                self.stream_ended(stream_id)
            case StreamReset():
                connection.is_full = False
                if not event.remote_reset:  # h2 has reset it for a violation by the peer
                    self._budget.spend("resets")
                code = event.error_code if event.remote_reset else ErrorCodes.PROTOCOL_ERROR
                self._cancel(stream_id, StreamResetError(int(code or 0)))
            case PingAckReceived():
                self._on_ping_ack(event.ping_data)
            case ConnectionTerminated():
                self.close("the peer ended the connection")

    def _windows_updated(self) -> None:
        for stream in self._connection.streams.values():
            stream.window_updated.set()

    def request_received(self, stream_id: int, headers: Headers) -> None:
        """Handle a new call. A header list that arrives again is not validated again."""
        connection = self._connection
        if headers is not self._valid_headers:
            fault = request_fault(headers)
            if fault is not None:
                log.debug("a request is malformed: %s", fault)
                self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
                return
            if isinstance(headers, CachedHeaders):
                self._valid_headers = headers
        limit = connection.limits.max_concurrent_streams
        if len(connection.streams) >= limit and not self._has_room(limit):
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._liveness.call_opened()
        stream = CallStream(connection, stream_id)
        if self._handler is not None:
            self._handler.accept(stream, headers)

    def _has_room(self, limit: int) -> bool:
        """Return whether a stream may be opened, not counting handlers that are finishing.

        There may be as many of these. They are counted once a read, which may open a thousand
        streams, and again when one of them ends.
        """
        connection = self._connection
        if connection.is_full:
            return False
        is_open = sum(stream.closable for stream in connection.streams.values())
        connection.is_full = is_open >= limit or len(connection.streams) >= 2 * limit
        if connection.is_full:
            connection.openings.append(self._look_again)
        return not connection.is_full

    def _look_again(self) -> bool:
        self._connection.is_full = False
        return True

    def stream_ended(self, stream_id: int) -> None:
        self._connection.is_full = False
        stream = self._connection.streams.get(stream_id)
        if stream is not None:
            stream.end_received()

    def _is_valid(self, stream_id: int, fault: str | None) -> bool:
        """Reset a stream with malformed headers: the rest of the connection goes on."""
        if fault is None:
            return True
        self._connection.is_full = False
        self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
        stream = self._connection.streams.get(stream_id)
        if stream is not None:
            stream.remote_ended = False  # a malformed response does not count
        self._cancel(stream_id, MalformedError(fault))
        return False

    def _cancel(self, stream_id: int, error: StreamTerminatedError) -> None:
        stream = self._connection.streams.get(stream_id)
        if stream is not None:
            stream.terminate(error)
            if self._handler is not None:
                self._handler.cancel(stream)

    def _reset(self, stream_id: int, error_code: ErrorCodes) -> None:
        self._budget.spend("resets")
        with suppress(ProtocolError):  # the peer may have reset it in the meantime
            self._connection.reset(stream_id, error_code)

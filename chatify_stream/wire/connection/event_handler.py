"""What h2 makes of the frames that `frames` leaves to it, brought to the streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    PingAckReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from ..grpclib_internals import AbstractHandler, EventsProcessor, H2Stream, Headers
from ..http2.flood import FrameBudget
from ..http2.header_rules import request_fault, response_fault, trailers_fault
from ..http2.hpack import CachedHeaders
from .connection import WireConnection
from .lean import LazyMethodTable
from .stream import CallStream, MalformedError, StreamResetError

__all__ = ["WireEvents"]

log = logging.getLogger(__name__)


MAX_ENDED_AT_ONCE = 4
"""Streams of a connection that is over which end before others have their turn."""


class WireEvents(EventsProcessor):
    """grpclib's, mended: unknown events do no harm, and a stream is released once."""

    connection: WireConnection

    def __init__(
        self,
        handler: AbstractHandler,
        connection: WireConnection,
        budget: FrameBudget,
        *,
        on_call: Callable[[], None],
        on_release: Callable[[], None],
        on_ping_ack: Callable[[bytes], None],
    ) -> None:
        super().__init__(handler, connection)
        self.processors = cast(Any, LazyMethodTable(self, cast(Any, self.processors)))
        self._budget = budget
        self._on_call = on_call
        self._on_release = on_release
        self._on_ping_ack = on_ping_ack
        self._sound_headers: Headers | None = None
        self._is_full = False

    def register(self, stream: H2Stream) -> Callable[[], None]:
        """grpclib's, but the function that it returns may be called more than once."""
        self.streams[cast(int, stream.id)] = stream
        return _Release(self, cast(CallStream, stream))

    def release(self, stream: CallStream) -> None:
        """The call of a stream is over."""
        if self.streams.pop(stream.id, None) is not None:
            self.connection.stream_close_waiter.set()
            if not self.connection.is_closing():
                self.connection.ack(stream.id, stream.inbox.unacked_size())
            self._is_full = False
            self._on_release()

    def close(self, reason: str = "the connection was closed") -> None:
        """grpclib's, but a thousand streams do not end all at once."""
        self.connection.close()
        self.handler.close()
        self._terminate(list(self.streams.values()), reason)
        self.__dict__.pop("processors", None)

    def _terminate(self, streams: Sequence[H2Stream], reason: str) -> None:
        for stream in streams[:MAX_ENDED_AT_ONCE]:
            stream.__terminated__(reason)
        if rest := streams[MAX_ENDED_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._terminate, rest, reason)

    def process(self, event: Event) -> None:
        # What is left out: frames of unknown types, and events that need no answer of ours.
        if type(event) in getattr(self, "processors", ()):
            super().process(event)

    def process_request_received(self, event: RequestReceived) -> None:
        self.request(event.stream_id, cast(Headers, event.headers))

    def request(self, stream_id: int, headers: Headers) -> None:
        """A call is opened. A list of headers that comes again is not checked again."""
        if headers is not self._sound_headers:
            fault = request_fault(headers)
            if fault is not None:
                log.debug("a request is malformed: %s", fault)
                self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
                return
            if isinstance(headers, CachedHeaders):
                self._sound_headers = headers
        limit = self.connection.limits.max_concurrent_streams
        if len(self.streams) >= limit and not self._has_room(limit):
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._on_call()
        stream = self.connection.create_stream(stream_id=stream_id)
        self.handler.accept(stream, headers, self.register(stream))

    def _has_room(self, limit: int) -> bool:
        """Handlers that are still on their way out do not count, within reason.

        They are counted once a read, which may have a thousand calls, unless one of them ends.
        """
        if self._is_full:
            return False
        is_open = sum(stream.closable for stream in self.streams.values())
        self._is_full = is_open >= limit or len(self.streams) >= 2 * limit
        if self._is_full:
            self.connection.openings.append(self._look_again)
        return not self._is_full

    def _look_again(self) -> bool:
        self._is_full = False
        return True

    def process_response_received(self, event: ResponseReceived) -> None:
        if not self._is_malformed(event.stream_id, response_fault(cast(Headers, event.headers))):
            super().process_response_received(event)

    def process_trailers_received(self, event: TrailersReceived) -> None:
        if not self._is_malformed(event.stream_id, trailers_fault(cast(Headers, event.headers))):
            super().process_trailers_received(event)

    def process_stream_ended(self, event: StreamEnded) -> None:
        self.end(event.stream_id)

    def end(self, stream_id: int) -> None:
        """The peer has ended a stream."""
        self._is_full = False
        self.connection.streams_succeeded += 1
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.__ended__()

    def process_ping_ack_received(self, event: PingAckReceived) -> None:
        super().process_ping_ack_received(event)
        self._on_ping_ack(event.ping_data)

    def process_stream_reset(self, event: StreamReset) -> None:
        self._is_full = False
        self.connection.streams_failed += 1
        if not event.remote_reset:  # h2 had to, for what the peer sent
            self._budget.spend("resets")
        stream = cast("CallStream | None", self.streams.get(event.stream_id))
        if stream is not None:
            code = event.error_code if event.remote_reset else ErrorCodes.PROTOCOL_ERROR
            stream.terminate(StreamResetError(int(code or 0)))
            self.handler.cancel(stream)

    def _is_malformed(self, stream_id: int, fault: str | None) -> bool:
        """Ends the stream of what is malformed, which is all that its peer may lose by it."""
        if fault is None:
            return False
        self._is_full = False
        self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
        stream = cast("CallStream | None", self.streams.get(stream_id))
        if stream is not None:
            stream.remote_ended = False  # what has come of it does not count
            stream.terminate(MalformedError(fault))
            self.handler.cancel(stream)
        return True

    def _reset(self, stream_id: int, error_code: ErrorCodes) -> None:
        """Resets a stream for what the peer did."""
        self._budget.spend("resets")
        with suppress(ProtocolError):  # when the peer has reset it meanwhile
            self.connection._connection.reset_stream(stream_id, error_code)
            self.connection.flush()  # which nobody may do when h2 did not read the headers


class _Release:
    """Releases a stream; closures would take ten times as much of each call."""

    __slots__ = ("_events", "_stream")

    def __init__(self, events: WireEvents, stream: CallStream) -> None:
        self._events = events
        self._stream = stream

    def __call__(self) -> None:
        self._events.release(self._stream)

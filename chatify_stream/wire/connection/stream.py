"""The HTTP/2 stream of one call: messages in and out, whole and cancellable.

grpclib 0.4.9 had these faults, which the tests of this module repeat: a reset after a complete
response discarded the part that was not read yet. A peer that sent or read quickly kept other
peers from being served. Two messages that were sent at the same time mixed their bytes. A send that
was cancelled halfway left half a message on the wire. A send on a closed stream waited for ever,
and so did a call that could not open its stream before the connection was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import InitVar, dataclass, field

from grpclib.const import Status
from grpclib.exceptions import StreamTerminatedError
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError, TooManyStreamsError

from ...errors import StatusError
from ..grpclib_internals import Headers
from ..http2.h2_connection import send_headers
from .cancel_scope import CallScope
from .compression import IDENTITY, compress_frames
from .connection import LeanEvent, WireConnection
from .grpc_headers import split_binary_values
from .inbox import Inbox

DEFAULT_WINDOW = 65535
"""Bytes; HTTP/2's default."""

SENDS_IN_A_ROW = 128
"""Number of sends after which a task yields: asyncio does not while there is room to write."""


def error_name(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error code {code}"


class StreamResetError(StreamTerminatedError):
    """The peer reset the stream with the HTTP/2 code `error_code`."""

    def __init__(self, error_code: int) -> None:
        super().__init__(error_code)
        self.error_code = error_code

    def __str__(self) -> str:
        return f"the peer reset the stream with {error_name(self.error_code)}"


class MalformedError(StreamTerminatedError):
    """The peer sent header fields that HTTP/2 or gRPC forbids; this side resets the stream."""


class GoingAwayError(StreamTerminatedError):
    """The call has to be opened on another connection."""


class CutMessageError(StreamTerminatedError):
    """This side reset the stream because the sender of a message was cancelled halfway."""

    def __str__(self) -> str:
        return "a message was cut short by cancelling its sender, and that cancelled the call"


@dataclass(eq=False, repr=False, slots=True, weakref_slot=True)
class CallStream:
    """The HTTP/2 stream of one call. `stream_id` opens it; a client opens it with `open`."""

    connection: WireConnection
    stream_id: InitVar[int] = 0
    scope: CallScope | None = None
    """The scope of the tasks that wait for this stream; None before the handler runs."""
    id: int = 0
    """The id of the stream; 0 until it is open."""
    opened_at: float = 0.0
    """When the stream was opened, by the monotonic clock."""
    inbox: Inbox = field(init=False)
    """The received messages, once the stream is open."""
    headers: Headers | None = None
    headers_received: LeanEvent = field(default_factory=LeanEvent)
    trailers: Headers | None = None
    trailers_received: LeanEvent = field(default_factory=LeanEvent)
    window_updated: LeanEvent = field(default_factory=LeanEvent)
    remote_ended: bool = False
    """The peer has sent END_STREAM: everything that it sends is here."""
    encoding: str = IDENTITY
    """The `grpc-encoding` of messages that this side sends."""
    is_direct: bool = False
    messages_sent: int = 0
    has_sent_headers: bool = False
    _send_lock: asyncio.Lock | None = None  # most streams need none
    _senders: int = 0
    """Number of tasks that send or wait to send."""
    _sends_in_a_row: int = 0

    def __post_init__(self, stream_id: int) -> None:
        if stream_id:
            self._opened(stream_id)

    def _opened(self, stream_id: int) -> None:
        connection = self.connection
        self.id = stream_id
        self.inbox = Inbox(connection, stream_id, connection.limits.max_message_size)
        self.opened_at = time.monotonic()
        connection.streams_started += 1
        connection.streams[stream_id] = self

    def release(self) -> None:
        """Give the stream back to the connection, once, when the call is over."""
        self.connection.release(self)

    @property
    def closable(self) -> bool:
        """Return whether the stream is open in either direction."""
        h2 = self.connection.h2
        is_closed = h2.state_machine.state is ConnectionState.CLOSED
        if is_closed or self.connection.write_buffer.is_closing():
            return False
        stream = h2.streams.get(self.id)
        return stream is not None and not stream.closed

    async def recv_headers(self) -> Headers:
        """Wait for the response headers. Raise `MalformedError` for an undecodable value."""
        await self.headers_received.wait()
        return _readable(self.headers or [])

    async def recv_trailers(self) -> Headers:
        """Wait for the trailers. Return none if the peer ended the stream without them."""
        await self.trailers_received.wait()
        return _readable(self.trailers or [])

    def may_take(self) -> bool:
        """Return whether the reader may take another message before it yields to other tasks."""
        self.inbox.in_a_row += 1
        return self.inbox.in_a_row <= self.connection.fair_share.quantum.messages

    async def recv_frame(self) -> bytes | None:
        """Wait for the next message. Return None after the last one. Raise `StatusError`.

        Cancelling loses nothing: the next call continues at the same message.
        """
        if self._should_yield:
            self.inbox.in_a_row = 0
            await asyncio.sleep(0)
        self.inbox.in_a_row += 1
        return await self.inbox.next()

    def recv_frames(self) -> Awaitable[list[bytes]]:
        """Wait for messages. Return those that have arrived, up to a limit; none after the last.

        Return none, too, when the inbox's consumer needs the reader. As `recv_frame` otherwise.
        """
        if self._should_yield:
            return self._recv_frames_later()
        return self.inbox.batch(self.connection.fair_share.quantum.messages)

    async def _recv_frames_later(self) -> list[bytes]:
        await asyncio.sleep(0)
        return await self.inbox.batch(self.connection.fair_share.quantum.messages)

    @property
    def _should_yield(self) -> bool:
        inbox = self.inbox
        limit = self.connection.fair_share.quantum.messages
        return inbox.in_a_row >= limit or inbox.has_compressed

    def try_send(self, data: bytes, count: int) -> bool:
        """Send framed messages as `WriteBuffer.try_send` does, unless the task should yield."""
        if self._sends_in_a_row >= SENDS_IN_A_ROW:
            return False
        self._sends_in_a_row += 1
        return self.connection.write_buffer.try_send(self, data, count)

    async def send_data(self, data: bytes, *, count: int = 0, end_stream: bool = False) -> None:
        """Send `count` framed messages, or a body that holds no messages.

        Data that several tasks send at the same time is sent one after the other. Messages are
        compressed here, if the stream has an `encoding`.

        Cancelling after a part of the data was sent resets the stream, because the peer would take
        later data for the rest. Raise h2's `StreamClosedError` when the stream is closed, also
        while waiting, and `StatusError` when the peer reads nothing for `write_timeout`.
        """
        size = len(data)
        if self.encoding != IDENTITY:
            data = compress_frames(data, self.encoding)
            self._sends_in_a_row = SENDS_IN_A_ROW  # compressing took time
        elif not end_stream and self.try_send(data, count):
            return
        self._senders += 1
        self.is_direct = False
        try:
            await self._send_in_order(data, end_stream, max(size, len(data)))
        finally:
            self._senders -= 1
            self._update_direct()
        self.messages_sent += count
        self.connection.write_buffer.messages_sent += count

    def _update_direct(self) -> None:
        self.is_direct = self.has_sent_headers and not self._senders and self.encoding == IDENTITY

    async def _send_in_order(self, data: bytes, end_stream: bool, waiting: int) -> None:
        """`waiting`: bytes that are held until they are sent, uncompressed ones included."""
        budget = self.connection.memory_budget
        budget.add_unsent(waiting)
        sent = 0
        try:
            async with self._sending():
                if self._sends_in_a_row >= SENDS_IN_A_ROW:
                    self._sends_in_a_row = 0
                    await asyncio.sleep(0)
                self._sends_in_a_row += 1
                while True:
                    size = await self._wait_to_send(len(data) - sent)
                    chunk = data[sent : sent + size]
                    sent += size
                    waiting -= size
                    budget.remove_unsent(size)
                    self._write(chunk, end_stream=end_stream and sent == len(data))
                    if sent == len(data):
                        return
        except BaseException as error:
            if 0 < sent < len(data) and self.closable:
                is_stalled = isinstance(error, StatusError)
                self._cut_message(ErrorCodes.ENHANCE_YOUR_CALM if is_stalled else ErrorCodes.CANCEL)
            raise
        finally:
            budget.remove_unsent(waiting)

    def _write(self, data: bytes, *, end_stream: bool) -> None:
        write_buffer = self.connection.write_buffer
        if end_stream or not write_buffer.try_send_data(self.id, data):
            self.connection.h2.send_data(self.id, data, end_stream)
            self.connection.flush()
            write_buffer.data_frames += 1

    def _sending(self) -> asyncio.Lock:
        self._send_lock = self._send_lock or asyncio.Lock()
        return self._send_lock

    async def room_for(self, size: int) -> None:
        """Wait until a message of `size` bytes can probably be sent whole and at once.

        Cancelling here does not cut a message. For a message larger than the peer reads at a time,
        wait for that part. Raises as `send_data` does.
        """
        # Peers return a window when half of it is used. The connection's window has the default
        # size unless the peer has enlarged it, and no frame tells its size.
        initial = self.connection.h2.remote_settings.initial_window_size
        part = min(initial, DEFAULT_WINDOW) // 2
        await self._wait_to_send(size, max(1, min(size, part)))

    async def _wait_to_send(self, size: int, needed: int = 1) -> int:
        """Wait until `needed` of `size` bytes can be sent. Return how many fit in one frame."""
        connection, h2 = self.connection, self.connection.h2
        clock, timeout = asyncio.get_running_loop().time, connection.limits.write_timeout
        began: float | None = None
        while True:
            await connection.write_ready.wait()
            if connection.is_closing():
                raise StreamTerminatedError("the connection was lost")
            if not self.closable:
                raise StreamClosedError(self.id)
            window = h2.local_flow_control_window(self.id)
            if window >= needed:
                return min(size, window, h2.max_outbound_frame_size)
            began = clock() if began is None else began
            # The stream's own window; the connection may take fewer bytes.
            stream = h2.streams.get(self.id)
            is_own = stream is None or stream.outbound_flow_control_window < needed
            # The connection's window may have grown and been used by other calls.
            since = began if is_own else max(began, connection.window_grew_at)
            if timeout is not None and clock() >= since + timeout:
                raise StatusError(Status.RESOURCE_EXHAUSTED, f"nothing was read for {timeout:g} s")
            self.window_updated.clear()
            connection.wait_for_window(self, needed, is_own=is_own)
            try:
                async with asyncio.timeout_at(None if timeout is None else since + timeout):
                    await self.window_updated.wait()
            except TimeoutError:
                pass
            finally:
                connection.stop_waiting_for_window(self)

    async def send_headers(self, headers: Headers, end_stream: bool = False) -> None:
        """Send response headers or trailers. Raise `StreamClosedError` when it is too late."""
        connection = self.connection
        await connection.write_ready.wait()
        stream = connection.h2.streams.get(self.id)
        if stream is None:
            raise StreamClosedError(self.id)
        connection.write_buffer.write(send_headers(connection.h2, stream, headers, ends=end_stream))
        self.has_sent_headers = True
        self._update_direct()

    async def open(self, headers: Headers, end_stream: bool = False) -> None:
        """Open a client's stream as soon as the peer allows one more.

        Raise `StreamTerminatedError` when the connection is lost before that, and `GoingAwayError`
        when the peer accepts no more calls on it.
        """
        connection, h2 = self.connection, self.connection.h2
        while True:
            await connection.write_ready.wait()
            if connection.is_closing():
                raise StreamTerminatedError("the connection was lost")
            if connection.is_going_away:
                raise GoingAwayError
            stream_id = h2.get_next_available_stream_id()
            try:
                h2.send_headers(stream_id, headers, end_stream=end_stream)
                break
            except TooManyStreamsError:
                connection.stream_closed.clear()
                await connection.stream_closed.wait()
        self._opened(stream_id)
        connection.flush()
        self.has_sent_headers = True
        self._update_direct()

    async def end(self) -> None:
        """End the stream in this direction, after the messages that wait to be sent."""
        async with self._sending():
            await self.connection.write_ready.wait()
            self.connection.h2.end_stream(self.id)
            self.connection.flush()

    def reset(self, error_code: ErrorCodes) -> None:
        """Reset the stream, also while the peer does not read."""
        self.connection.reset(self.id, error_code)

    def end_received(self) -> None:
        if self.headers is None and self.connection.h2.config.client_side:
            self.terminate(MalformedError("it ended before it began"))
            return
        self.remote_ended = True
        self.inbox.eof()
        if self.trailers is None:
            self.trailers = []
            self.trailers_received.set()

    def terminate(self, error: StreamTerminatedError) -> None:
        """Note that the peer, or the loss of the connection, has terminated the stream."""
        self.window_updated.set()  # a task that waits to send finds the stream closed
        if self.remote_ended and self.connection.h2.config.client_side:
            # RFC 9113, 8.1: the response is complete, and a server may reset a request that it
            # does not want to read to the end. The response stays readable.
            return
        if self.scope is not None:
            self.scope.cancel(error)

    def _cut_message(self, error_code: ErrorCodes) -> None:
        self.reset(error_code)
        if self.scope is not None:
            # Later, because the current task is leaving with an exception of its own.
            asyncio.get_running_loop().call_soon(self.scope.cancel, CutMessageError())


def _readable(headers: Headers) -> Headers:
    try:
        return split_binary_values(headers)
    except ValueError as error:
        raise MalformedError(str(error)) from error

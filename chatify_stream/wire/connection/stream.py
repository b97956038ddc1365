"""The HTTP/2 stream of one call: messages in and out, whole and cancellable.

What grpclib 0.4.9 does wrong, and this subclass does right:

- a reset that followed a complete answer threw away what had not been read of it;
- a peer that sent faster than its messages were handled, or took faster than they were made, kept
  all others from being served;
- two messages sent at once mixed their bytes;
- a send that was cancelled in its middle left half a message on the wire;
- a send on a stream that had been closed waited for ever, and so did a call that was not let open
  its stream when the connection was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import StreamTerminatedError
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError, TooManyStreamsError
from h2.stream import StreamState

from ...errors import StatusError
from ..grpclib_internals import EventsProcessor, H2Stream, Headers
from ..http2.stream_states import send_headers
from .compression import IDENTITY, compress_frames
from .grpc_headers import split_binary_values
from .inbox import Inbox
from .lean import LeanEvent
from .memory_budget import MemoryBudget

__all__ = [
    "CallStream",
    "GivenUpError",
    "GoingAwayError",
    "MalformedError",
    "StreamResetError",
    "error_name",
]

SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)

MAX_AT_ONCE = 64 * 1024
"""Bytes that are sent without a look at how much the transport holds already."""

DEFAULT_WINDOW = 65535
"""Of HTTP/2."""

SENDS_IN_A_ROW = 128
"""After how many a sender lets others run: asyncio does not while there is room to write."""


def error_name(code: int) -> str:
    """An HTTP/2 error code, for people."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error code {code}"


class StreamResetError(StreamTerminatedError):
    """The peer reset the stream; `error_code` is the HTTP/2 code it gave."""

    def __init__(self, error_code: int) -> None:
        super().__init__(error_code)
        self.error_code = error_code

    def __str__(self) -> str:
        return f"the peer reset the stream with {error_name(self.error_code)}"


class MalformedError(StreamTerminatedError):
    """The peer sent header fields that HTTP/2 or gRPC forbids; this side resets the stream."""


class GoingAwayError(StreamTerminatedError):
    """The call has to be opened on another connection."""


class GivenUpError(StreamTerminatedError):
    """This side has reset the stream."""

    def __str__(self) -> str:
        return "a message was cut short by cancelling its sender, and that cancelled the call"


class _Wait:
    """The bytes of one message, or of several, that wait to be sent."""

    __slots__ = ("_memory_budget", "_size")

    def __init__(self, memory_budget: MemoryBudget, size: int) -> None:
        self._memory_budget = memory_budget
        self._size = size
        memory_budget.waits_to_send(size)

    def less(self, size: int) -> None:
        self._size -= size
        self._memory_budget.does_not_wait(size)

    def is_over(self) -> None:
        self.less(self._size)


class CallStream(H2Stream):
    """The HTTP/2 stream of one call."""

    connection: Any  # a wire.connection.WireConnection, whose module imports this one
    id: int

    remote_ended = False
    """The peer has sent END_STREAM: all that it had to say is here."""

    encoding = IDENTITY
    """The `grpc-encoding` that this side has sent: messages are compressed so."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A stream has many events, and seldom anyone who waits for them.
        self.window_updated = LeanEvent()  # type: ignore[assignment]
        self.headers_received = LeanEvent()  # type: ignore[assignment]
        self.trailers_received = LeanEvent()  # type: ignore[assignment]
        self._sending: asyncio.Lock | None = None  # most streams never need one
        self._senders = 0
        """Those who send, or wait to."""
        self._sends_in_a_row = 0

    def init_stream(self, stream_id: int, connection: Any) -> None:
        super().init_stream(stream_id, connection)
        self.inbox = Inbox(connection, stream_id, connection.limits.max_message_size)
        self.buffer = self.inbox  # type: ignore[assignment] # which has all that grpclib uses

    async def recv_headers(self) -> Headers:
        return _readable(await super().recv_headers())

    async def recv_trailers(self) -> Headers:
        """What the peer ended the stream with; nothing if it did so without trailers."""
        return _readable(await super().recv_trailers())

    def may_take(self) -> bool:
        """A message may be taken without `recv_frame`; False when it is time to let others run."""
        self.inbox.in_a_row += 1
        most: int = self.connection.fair_share.quantum.messages
        return self.inbox.in_a_row <= most

    async def recv_frame(self) -> bytes | None:
        """The bytes of the next message; None after the last one.

        Cancelled, it loses nothing: the next call goes on where it was. Raises `StatusError`.
        """
        if self._is_turn_of_others:
            self.inbox.in_a_row = 0
            await asyncio.sleep(0)
        self.inbox.in_a_row += 1
        return await self.inbox.next()

    def recv_frames(self) -> Awaitable[list[bytes]]:
        """The bytes of the next messages, as many as have come, within reason; none at the end.

        None, too, when the inbox's `at_once` asked for its reader. As `recv_frame` otherwise.
        """
        if self._is_turn_of_others:
            return self._recv_frames_after_others()
        return self.inbox.batch(self.connection.fair_share.quantum.messages)

    async def _recv_frames_after_others(self) -> list[bytes]:
        await asyncio.sleep(0)
        return await self.inbox.batch(self.connection.fair_share.quantum.messages)

    @property
    def _is_turn_of_others(self) -> bool:
        return (
            self.inbox.in_a_row >= self.connection.fair_share.quantum.messages
            or self.inbox.has_compressed
        )

    def recv_frames_nowait(self) -> list[bytes]:
        """The bytes of those that have come, within reason, when none of them is compressed."""
        return self.inbox.batch_nowait(self.connection.fair_share.quantum.messages)

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """Sends one message with its prefix, or several that follow each other, whole.

        Messages sent at once queue up behind each other. They are compressed here, since grpclib
        gives all that it sends a prefix that says they are not.

        Cancelled after a part of the message has left, it resets the stream, because whatever
        came next would be read as the rest of that message. Raises h2's `StreamClosedError` once
        the stream is closed, also when that happens while it waits; and `StatusError` when the
        peer has read nothing for so long as the limits allow.
        """
        size = len(data)
        if self.encoding != IDENTITY:
            data = compress_frames(data, self.encoding)
            self._sends_in_a_row = SENDS_IN_A_ROW  # that took time, which others may need
        elif not end_stream and self.send_data_in_turn(data):
            return
        self._senders += 1
        # What was compressed is here, too, as long as its sender waits.
        wait = _Wait(self.connection.memory_budget, max(size, len(data)))
        try:
            await self._send_in_order(data, end_stream, wait)
        finally:
            self._senders -= 1
            wait.is_over()

    async def _send_in_order(self, data: bytes, end_stream: bool, wait: _Wait) -> None:
        async with self._turn():
            if self._sends_in_a_row >= SENDS_IN_A_ROW:
                self._sends_in_a_row = 0
                await asyncio.sleep(0)
            self._sends_in_a_row += 1
            sent = 0
            try:
                while True:
                    size = await self._writable(len(data) - sent)
                    chunk = data[sent : sent + size]
                    sent += size
                    wait.less(size)
                    is_last = sent == len(data)
                    if (is_last and end_stream) or not self._send_now(chunk):
                        self._h2_connection.send_data(self.id, chunk, end_stream and is_last)
                        self._transport.write(self._h2_connection.data_to_send())
                        self.connection.write_buffer.data_frames += 1
                    if is_last:
                        return
            except BaseException as error:
                if 0 < sent < len(data) and self.closable:
                    is_stalled = isinstance(error, StatusError)
                    self._give_up(ErrorCodes.ENHANCE_YOUR_CALM if is_stalled else ErrorCodes.CANCEL)
                raise

    def send_data_nowait(self, data: bytes) -> bool:
        """As `send_data`, if that would not have to wait; False when nothing has been sent."""
        if self.encoding != IDENTITY or self._senders:
            return False
        return not data or self._send_now(data)

    def send_data_in_turn(self, data: bytes) -> bool:
        """As `send_data_nowait`; and False when it is time to let others run."""
        if self._sends_in_a_row >= SENDS_IN_A_ROW:
            return False
        self._sends_in_a_row += 1
        return self.send_data_nowait(data)

    def _send_now(self, data: bytes) -> bool:
        """What h2 does with DATA that an open stream and its windows allow, without its objects.

        False when it has to wait, or when h2 has to decide.
        """
        connection, h2 = self.connection, self._h2_connection
        stream = h2.streams.get(self.id)
        size = len(data)
        if (
            stream is None
            or stream.state_machine.state not in SENDING
            or size > stream.outbound_flow_control_window
            or size > h2.outbound_flow_control_window
            or size > MAX_AT_ONCE
            or not connection.write_ready.is_set()
            or connection.write_buffer.is_over
            or h2.state_machine.state is ConnectionState.CLOSED
        ):
            return False
        stream.outbound_flow_control_window -= size
        h2.outbound_flow_control_window -= size
        most = h2.max_outbound_frame_size
        if size <= most:
            connection.write_buffer.write_data(self.id, data, most)
        else:
            view = memoryview(data)  # which is copied when it leaves, and not before
            for start in range(0, size, most):
                connection.write_buffer.write_data(self.id, view[start : start + most], most)
        if h2.config.client_side:  # whose keepalive wants to know
            connection.data_send_process()
        return True

    async def room_for(self, size: int) -> None:
        """Waits until a message of `size` bytes is likely to leave whole, and at once.

        Whoever is cancelled while waiting so has not cut a message. A peer is not waited for that
        takes no more than this at a time. Raises as `send_data`.
        """
        # Peers give a window back when they have used up to a half of it; that of all calls has
        # the default size unless it was made larger, which nobody says.
        window = min(self._h2_connection.remote_settings.initial_window_size, DEFAULT_WINDOW)
        most = window // 2
        await self._writable(size, max(1, min(size, most)))

    async def _writable(self, size: int, least: int = 1) -> int:
        """Waits until `least` of `size` bytes can be sent; says how many, in one frame."""
        clock, limit = asyncio.get_running_loop().time, self.connection.limits.write_timeout
        began: float | None = None
        while True:
            await self.connection.write_ready.wait()
            if self._transport.is_closing():
                raise StreamTerminatedError("the connection was lost")
            if not self.closable:
                raise StreamClosedError(self.id)
            window = self._h2_connection.local_flow_control_window(self.id)
            if window >= least:
                return min(size, window, self._h2_connection.max_outbound_frame_size)
            began = clock() if began is None else began
            is_own = self.window < least
            # The window of the connection may have grown, and been taken by other calls.
            since = began if is_own else max(began, self.connection.window_grew_at)
            if limit is not None and clock() >= since + limit:
                raise StatusError(Status.RESOURCE_EXHAUSTED, f"nothing was read for {limit:g} s")
            self.window_updated.clear()
            self.connection.wait_for_window(self, least, is_own=is_own)
            try:
                async with asyncio.timeout_at(None if limit is None else since + limit):
                    await self.window_updated.wait()
            except TimeoutError:
                pass
            finally:
                self.connection.waited_for_window(self)

    @property
    def window(self) -> int:
        """Bytes that the peer takes on this stream; the connection may take fewer."""
        stream = self._h2_connection.streams.get(self.id)
        return 0 if stream is None else stream.outbound_flow_control_window

    async def send_headers(self, headers: Headers, end_stream: bool = False) -> None:
        await self.connection.write_ready.wait()
        stream = self._h2_connection.streams.get(self.id)
        if stream is None:
            raise StreamClosedError(self.id)
        self.connection.write_buffer.write(
            send_headers(self._h2_connection, stream, headers, ends=end_stream)
        )
        self.connection.headers_send_process()

    async def end(self) -> None:
        async with self._turn():
            await super().end()

    def _turn(self) -> asyncio.Lock:
        """What whoever sends holds."""
        self._sending = self._sending or asyncio.Lock()
        return self._sending

    async def send_request(
        self,
        headers: Headers,
        end_stream: bool = False,
        *,
        _processor: EventsProcessor,
    ) -> Callable[[], None]:
        """Opens the call once the peer allows one more, and returns what releases its stream.

        Raises `StreamTerminatedError` when the connection is lost before that, and
        `GoingAwayError` when the peer takes no more calls on it.
        """
        connection, h2 = self.connection, self._h2_connection
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
                connection.stream_close_waiter.clear()
                await connection.stream_close_waiter.wait()
        self.init_stream(stream_id, connection)
        release = _processor.register(self)
        self._transport.write(h2.data_to_send())
        connection.headers_send_process()
        return release

    def __ended__(self) -> None:
        """The peer has ended the stream."""
        if self.headers is None and self._h2_connection.config.client_side:
            self.terminate(MalformedError("it ended before it began"))
            return
        self.remote_ended = True
        self.inbox.eof()
        if self.trailers is None:  # and none will come: nobody shall wait for them
            self.trailers = []
            self.trailers_received.set()

    def reset_nowait(self, error_code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """grpclib's, which forgets to send it while the peer does not read."""
        self._h2_connection.reset_stream(self.id, error_code=error_code)
        self._transport.write(self._h2_connection.data_to_send())

    def terminate(self, error: StreamTerminatedError) -> None:
        """The peer, or the loss of the connection, has ended the stream."""
        self.window_updated.set()  # who waits to send finds the stream closed
        if self.remote_ended and self._h2_connection.config.client_side:
            # RFC 9113, 8.1: the answer is whole, and a server may reset a request that it does
            # not want to the end. It stays readable.
            return
        if self.wrapper is not None:
            self.wrapper.cancel(error)

    def __terminated__(self, reason: str) -> None:
        self.terminate(StreamTerminatedError(reason))

    def _give_up(self, error_code: ErrorCodes) -> None:
        self.reset_nowait(error_code)
        if self.wrapper is not None:
            # Soon, not now: the task that runs here is on its way out with its own exception.
            asyncio.get_running_loop().call_soon(self.wrapper.cancel, GivenUpError())


def _readable(headers: Headers) -> Headers:
    try:
        return split_binary_values(headers)
    except ValueError as error:
        raise MalformedError(str(error)) from error

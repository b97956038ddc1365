"""The HTTP/2 stream of one call: messages in and out, whole and cancellable.

What grpclib 0.4.9 does wrong, and this subclass does right:

- a reset that followed a complete answer threw away what had not been read of it;
- a read that was cancelled between a message's prefix and its body lost the prefix;
- a message of any size was read;
- a peer that sent faster than its messages were handled kept all others from being served;
- two messages sent at once mixed their bytes;
- a send that was cancelled in its middle left half a message on the wire;
- a send on a stream that had been closed waited for ever.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError

from ..errors import StatusError
from .grpclib_internals import EventsProcessor, H2Stream, Headers

__all__ = ["MAX_MESSAGE_SIZE", "CallStream", "GivenUpError", "StreamResetError"]

MAX_MESSAGE_SIZE = 4 * 1024 * 1024
"""Bytes of one message, unless configured otherwise; gRPC's usual default."""

PREFIX = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its size."""

FRAMES_IN_A_ROW = 64
"""After how many messages a reader lets others run; asyncio does not, while there is more."""


class StreamResetError(StreamTerminatedError):
    """The peer reset the stream; `error_code` is the HTTP/2 code it gave."""

    def __init__(self, error_code: int) -> None:
        super().__init__(error_code)
        self.error_code = error_code

    def __str__(self) -> str:
        try:
            name = ErrorCodes(self.error_code).name
        except ValueError:
            name = f"error code {self.error_code}"
        return f"the peer reset the stream with {name}"


class GivenUpError(StreamTerminatedError):
    """This side has reset the stream."""

    def __str__(self) -> str:
        return "a message was cut short by cancelling its sender, and that cancelled the call"


class CallStream(H2Stream):
    """The HTTP/2 stream of one call."""

    id: int

    remote_ended = False
    """The peer has sent END_STREAM: all that it had to say is here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sending = asyncio.Lock()
        self._prefix = b""
        self._frames_in_a_row = 0

    async def recv_frame(self, max_size: int) -> bytes | None:
        """The bytes of the next message; None after the last one.

        Cancelled, it loses nothing: the next call goes on where it was. Raises `StatusError`.
        """
        self._frames_in_a_row += 1
        if self._frames_in_a_row == FRAMES_IN_A_ROW:
            self._frames_in_a_row = 0
            await asyncio.sleep(0)
        if not self._prefix:
            self._prefix = await self._recv_exactly(PREFIX.size)
            if not self._prefix:
                return None
        compressed, size = PREFIX.unpack(self._prefix)
        if compressed:
            raise StatusError(
                Status.UNIMPLEMENTED, "the message is compressed, which is not supported"
            )
        if size > max_size:
            raise StatusError(
                Status.RESOURCE_EXHAUSTED,
                f"the message has {size} bytes; at most {max_size} are taken",
            )
        data = await self._recv_exactly(size)
        if len(data) < size:
            raise _cut_short()
        self._prefix = b""
        return data

    async def _recv_exactly(self, size: int) -> bytes:
        try:
            return await self.recv_data(size)
        except AssertionError as error:  # grpclib's word for it
            raise _cut_short() from error

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """Sends one message, whole: messages sent at once queue up behind each other.

        Cancelled after a part of the message has left, it resets the stream, because whatever
        came next would be read as the rest of that message. Raises h2's `StreamClosedError` once
        the stream is closed, also when that happens while it waits.
        """
        async with self._sending:
            sent = 0
            try:
                while True:
                    size = await self._writable(len(data) - sent)
                    chunk = data[sent : sent + size]
                    sent += size
                    is_last = sent == len(data)
                    self._h2_connection.send_data(self.id, chunk, end_stream and is_last)
                    self._transport.write(self._h2_connection.data_to_send())
                    self.data_sent += size
                    self.connection.data_sent += size
                    self.connection.data_send_process()
                    if is_last:
                        return
            except BaseException:
                if 0 < sent < len(data) and self.closable:
                    self._give_up()
                raise

    def terminate(self, error: StreamTerminatedError) -> None:
        """The peer, or the loss of the connection, has ended the stream."""
        if self.remote_ended and self._h2_connection.config.client_side:
            # RFC 9113, 8.1: the answer is whole, and a server may reset a request that it does
            # not want to the end. It stays readable; who waits to send finds the stream closed.
            self.window_updated.set()
        elif self.wrapper is not None:
            self.wrapper.cancel(error)

    def __terminated__(self, reason: str) -> None:
        self.terminate(StreamTerminatedError(reason))

    def _give_up(self) -> None:
        self.reset_nowait(ErrorCodes.CANCEL)
        if self.wrapper is not None:
            # Soon, not now: the task that runs here is on its way out with its own exception.
            asyncio.get_running_loop().call_soon(self.wrapper.cancel, GivenUpError())

    async def _writable(self, size: int) -> int:
        """Waits until at least one of `size` bytes can be sent; says how many, in one frame."""
        while True:
            await self.connection.write_ready.wait()
            if self._transport.is_closing():
                raise StreamTerminatedError("the connection was lost")
            if not self.closable:
                raise StreamClosedError(self.id)
            window = self._h2_connection.local_flow_control_window(self.id)
            if window > 0:
                return min(size, window, self._h2_connection.max_outbound_frame_size)
            self.window_updated.clear()
            await self.window_updated.wait()

    async def end(self) -> None:
        async with self._sending:
            await super().end()

    async def send_request(
        self,
        headers: Headers,
        end_stream: bool = False,
        *,
        _processor: EventsProcessor,
    ) -> Callable[[], None]:
        release = await super().send_request(headers, end_stream, _processor=_processor)
        if self.connection.is_closing():  # lost while this call waited for its turn
            release()
            raise StreamTerminatedError("the connection was lost")
        return release


def _cut_short() -> StatusError:
    return StatusError(Status.INTERNAL, "the stream ended in the middle of a message")

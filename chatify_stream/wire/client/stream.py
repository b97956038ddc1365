"""One call, as its caller sees it: grpclib's stream, with errors that say what happened.

What grpclib 0.4.9 does wrong, and this subclass does right: a status that arrived before this
side had ended its requests could not be read; leaving a call before its request was sent left its
deadline's timer running; the server was told of a deadline up to a second too early; a call that
is given up was reset with NO_ERROR instead of CANCEL.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpclib.client
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError

from ...errors import (
    CallError,
    CancelledCallError,
    ChatifyError,
    ClosedError,
    DeadlineExceededError,
    PeerProtocolError,
    UnavailableError,
    UsageError,
    call_error,
)
from ..connection.cancel_scope import CallScope
from ..connection.compression import ENCODINGS, IDENTITY, frame
from ..connection.connection import WireConnection
from ..connection.stream import (
    CallStream,
    GivenUpError,
    GoingAwayError,
    MalformedError,
    StreamResetError,
)
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    USER_AGENT,
    CodecBase,
    Headers,
    Metadata,
    encode_metadata,
)
from .protocol import ClientProtocol

__all__ = ["ClientStream", "encode_timeout"]

log = logging.getLogger(__name__)

# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_STATUS_OF_RESET: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


class ClientStream(grpclib.client.Stream[Any, Any]):
    """One call: grpclib's API.

    A call that does not end OK raises a `CallError` wherever it is noticed; one that this side
    has closed raises `ClosedError`, and wrong use `UsageError`.
    """

    _channel: Any  # a wire.channel.Channel, whose module imports this one
    _stream: CallStream
    _protocol: ClientProtocol | None = None
    _connection: WireConnection | None = None

    _server = "the server"
    wait_for_ready = False
    """Wait, while no server can be reached."""

    def __init__(self, *args: Any, compression: str = IDENTITY, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._compression = compression

    @property
    def tls_version(self) -> str | None:
        """Such as "TLSv1.3"; None in the clear, and before the call has been sent."""
        connection = None if self.peer is None else self.peer._transport
        ssl_object = None if connection is None else connection.get_extra_info("ssl_object")
        return None if ssl_object is None else str(ssl_object.version())

    @property
    def is_ended_by_peer(self) -> bool:
        """The server has sent its status: there is nothing to send any more."""
        return self._send_request_done and self._stream.remote_ended

    async def __aenter__(self) -> ClientStream:
        """grpclib's, with a wrapper of our own."""
        self._wrapper = wrapper = CallScope()
        if self._deadline is not None:
            with self._errors():
                self._wrapper_ctx = wrapper.start(self._deadline)
                self._wrapper_ctx.__enter__()
        self._channel._calls_started += 1
        self._channel._last_call_started = time.monotonic()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Waits for the status of a call that is left without an exception; resets others."""
        succeeded = False
        try:
            if exc_val is None and self._send_request_done and not self._cancel_done:
                await self._finish()
                succeeded = True
        finally:
            if self._send_request_done:
                if self._stream.closable:
                    self._stream.reset_nowait(ErrorCodes.CANCEL)
                self._release_stream()
            if self._wrapper_ctx is not None:
                self._wrapper_ctx.__exit__(None, None, None)
            if succeeded:
                self._channel._calls_succeeded += 1
            else:
                self._channel._calls_failed += 1

    async def _finish(self) -> None:
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        if not self._recv_trailing_metadata_done:
            requests_ended = self._end_done or (
                not self._cardinality.client_streaming and self._send_message_done
            )
            if not requests_ended and not self.is_ended_by_peer:
                raise UsageError("the requests were not ended: end() or cancel() the call first")
            await self.recv_trailing_metadata()

    async def send_request(self, *, end: bool = False) -> None:
        with self._errors():
            if self._send_request_done:
                raise UsageError("the request was sent already")
            if end and not self._cardinality.client_streaming:
                raise UsageError("a unary request needs its message before its end")
            with self._wrapper:
                await self._send_request(end)

    async def _send_request(self, end: bool) -> None:
        """grpclib's, with compression, and a grpc-timeout that is not rounded down by a second."""
        content_type = content_type_of(self._codec)
        metadata: Metadata | None = None
        while True:
            protocol = await self._channel.__connect__(wait_for_ready=self.wait_for_ready)
            self._server = protocol.endpoint.name
            self._protocol, self._connection = protocol, protocol.connection
            stream = protocol.connection.create_stream(wrapper=self._wrapper)
            if metadata is None:
                (metadata,) = await self._dispatch.send_request(
                    self._metadata,
                    method_name=self._method_name,
                    deadline=self._deadline,
                    content_type=content_type,
                )
            headers = self._request_headers(protocol.endpoint.authority, content_type, metadata)
            try:
                self._release_stream = await stream.send_request(
                    headers, end_stream=end, _processor=protocol.processor
                )
                break
            except GoingAwayError:  # while it waited for its turn
                continue
        stream.encoding = self._compression
        self._stream = stream
        self.peer = stream.connection.get_peer()
        self._send_request_done = True
        self._end_done = end

    def _request_headers(self, authority: str, content_type: str, metadata: Metadata) -> Headers:
        headers = [
            (":method", "POST"),
            (":scheme", self._channel._scheme),
            (":path", self._method_name),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", content_type),
            ("grpc-accept-encoding", ENCODINGS),
            ("user-agent", USER_AGENT),
        ]
        if self._compression != IDENTITY:
            headers.append(("grpc-encoding", self._compression))
        if self._deadline is not None:
            headers.append(("grpc-timeout", encode_timeout(self._deadline.time_remaining())))
        try:
            headers.extend(encode_metadata(metadata))
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from error
        return headers

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        if self._recv_trailing_metadata_done:
            raise _ended()
        if not end and self._is_sending_plainly():
            await self._send_framed(frame(self._codec.encode(message, self._send_type)))
        else:
            with self._errors():
                await super().send_message(message, end=end)

    def _is_sending_plainly(self) -> bool:
        """A message goes out as it is: the call is open, and nobody listens to its events."""
        return (
            self._send_request_done
            and not self._end_done
            and self._cardinality.client_streaming
            and not self._dispatch._listeners
        )

    async def _send_framed(self, data: bytes) -> None:
        if self._wrapper.cancelled or not self._stream.send_data_in_turn(data):
            with self._errors(), self._wrapper:
                await self._stream.send_data(data)
        self._send_message_done = True
        self._messages_sent += 1
        self._stream.connection.messages_sent += 1

    async def end(self) -> None:
        with self._errors():
            await super().end()

    async def recv_initial_metadata(self) -> None:
        with self._errors():
            await super().recv_initial_metadata()
            headers = dict(self._stream.headers or ())
            self._stream.inbox.encoding = headers.get("grpc-encoding", IDENTITY)

    async def recv_message(self) -> Any:
        """The next message, or None after the last one. Cancelled, it loses nothing."""
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        if self._stream.inbox.has_compressed:
            await asyncio.sleep(0)  # inflating takes time
        data = self._frame_that_came() if self._stream.may_take() else None
        if data is None:
            with self._errors():
                data = await self._recv_frame()
            if data is None:
                return None
        message = self._codec.decode(data, self._recv_type)
        if self._dispatch._listeners:
            (message,) = await self._dispatch.recv_message(message)
        self._messages_received += 1
        self._stream.connection.messages_received += 1
        return message

    async def _recv_frame(self) -> bytes | None:
        """Waits for a message; one that came at once with the end of the stream counts."""
        try:
            with self._wrapper:
                return await self._stream.recv_frame()
        except StreamTerminatedError:
            data = self._frame_that_came()
            if data is None:
                raise
            return data

    def _frame_that_came(self) -> bytes | None:
        """What has come is read, also when the stream was reset, or the connection lost, since."""
        return None if self._cancel_done else self._stream.inbox.next_nowait()

    async def recv_trailing_metadata(self) -> None:
        """Waits for the status, also before this side has ended its requests."""
        if self._send_request_done and not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        with self._errors():
            if self._send_request_done:
                if not self._trailers_only:
                    with self._wrapper:
                        await self._stream.recv_trailers()
                self._end_done = True
            await super().recv_trailing_metadata()

    def abort(self, error: Exception) -> None:
        """Ends the call on this side: whoever waits for it, or uses it later, gets `error`."""
        self._wrapper.cancel(error)

    async def cancel(self) -> None:
        """Gives the call up: the server learns of it, and who waits here gets an error.

        May be called again.
        """
        if self._send_request_done and not self._cancel_done:
            self._cancel_done = True
            if self._stream.closable:
                self._stream.reset_nowait(ErrorCodes.CANCEL)
            self.abort(_cancelled_here())

    def leave_connection(self) -> None:
        """Has the channel's next calls go on another connection, to another server if it has one.

        For a server that has refused the call, but might not everywhere: whoever balances by
        connection gives out another server then. The calls that are open on it go on.
        """
        if self._protocol is not None:
            self._channel._pool.avoid(self._protocol)

    def _raise_for_status(self, headers_map: dict[str, str]) -> None:
        with _not_grpc():
            super()._raise_for_status(headers_map)

    def _raise_for_content_type(self, headers_map: dict[str, str]) -> None:
        with _not_grpc():
            super()._raise_for_content_type(headers_map)

    def _process_grpc_status(self, headers_map: dict[str, str]) -> tuple[Status, str | None, Any]:
        with _not_grpc():
            try:
                return super()._process_grpc_status(headers_map)
            except ValueError as error:
                # Details that are not base64: the status and its text still count.
                log.warning("the details of a status cannot be read: %s", error)
                del headers_map["grpc-status-details-bin"]
                return super()._process_grpc_status(headers_map)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what grpclib, h2 and asyncio raise into the errors of this library."""
        try:
            yield
        except ChatifyError:
            raise
        except GRPCError as error:
            raise self._call_error(error.status, error.message, error.details) from error
        except TimeoutError as error:
            failure = self._channel.failure_message if self._connection is None else None
            raise _deadline_over(failure) from error
        except StreamTerminatedError as error:
            raise self._terminated(error) from error
        except H2ProtocolError as error:
            raise self._stream_closed() from error
        except ProtocolError as error:
            raise UsageError(str(error)) from error

    def _call_error(self, status: Status, message: str | None, details: Any) -> CallError:
        metadata = self.trailing_metadata
        return call_error(
            status, message, details, metadata={} if metadata is None else dict(metadata)
        )

    def _terminated(self, error: StreamTerminatedError) -> ChatifyError:
        if self._channel.is_closed:
            return ClosedError("the channel was closed")
        if isinstance(error, GivenUpError):
            return CancelledCallError(Status.CANCELLED, str(error))
        if isinstance(error, StreamResetError):
            code = error.error_code
            if code == ErrorCodes.CANCEL and self._is_deadline_over():
                return _deadline_over()
            return call_error(_STATUS_OF_RESET.get(code, Status.INTERNAL), str(error))
        if isinstance(error, MalformedError):
            return PeerProtocolError(
                Status.INTERNAL, f"the answer of {self._server} is wrong: {error}"
            )
        if self._connection is not None and self._connection.peer_excess is not None:
            reason = f"{self._server} sent more than is allowed ({self._connection.peer_excess})"
            return UnavailableError(Status.UNAVAILABLE, reason)
        if self._connection is not None and self._connection.peer_error is not None:
            return PeerProtocolError(
                Status.INTERNAL,
                f"{self._server} does not speak gRPC ({self._connection.peer_error})",
            )
        if self._connection is not None and self._connection.goaway is not None:
            reason = f"{self._server} ended the connection ({self._connection.goaway})"
            return UnavailableError(Status.UNAVAILABLE, reason)
        return UnavailableError(Status.UNAVAILABLE, f"the connection to {self._server} was lost")

    def _is_deadline_over(self) -> bool:
        return self._deadline is not None and self._deadline.time_remaining() <= 0

    def _stream_closed(self) -> ChatifyError:
        """h2 will not send on this stream: the call has ended before."""
        if not self._send_request_done:
            return UnavailableError(
                Status.UNAVAILABLE, f"the connection to {self._server} is closing"
            )
        try:
            headers = self._stream.trailers or self._stream.headers
            if headers is not None and self._stream.remote_ended:
                self._raise_for_grpc_status(*self._process_grpc_status(dict(headers)))
        except GRPCError as status:
            return self._call_error(status.status, status.message, status.details)
        if not self._stream.remote_ended:
            return _cancelled_here()
        return _ended()


def content_type_of(codec: CodecBase) -> str:
    """The content-type of a call; without the subtype that is gRPC's default, as is usual."""
    subtype = codec.__content_subtype__
    return GRPC_CONTENT_TYPE if subtype == "proto" else f"{GRPC_CONTENT_TYPE}+{subtype}"


def encode_timeout(seconds: float) -> str:
    """The grpc-timeout header: at least this time, in the finest unit that has 8 digits for it."""
    for unit, per_second in (("u", 1_000_000), ("m", 1_000), ("S", 1)):
        number = math.ceil(seconds * per_second)
        if number < 10**8:
            return f"{number}{unit}"
    return "99999999S"


def _deadline_over(trouble: str | None = None) -> DeadlineExceededError:
    text = "the deadline of the call has passed"
    return DeadlineExceededError(
        Status.DEADLINE_EXCEEDED, text if trouble is None else f"{text}: {trouble}"
    )


def _ended() -> ClosedError:
    return ClosedError("the server has ended the call: nothing more can be sent")


def _cancelled_here() -> CancelledCallError:
    return CancelledCallError(Status.CANCELLED, "the call was cancelled on this side")


@contextmanager
def _not_grpc() -> Iterator[None]:
    try:
        yield
    except GRPCError as error:
        raise PeerProtocolError(error.status, f"the answer is not gRPC: {error.message}") from error

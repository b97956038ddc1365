"""The caller's view of one call: `grpclib.client.Stream`'s API, with errors that explain.

grpclib 0.4.9 had these faults: a status that arrived before this side had ended its requests could
not be read. Leaving a call before its request was sent left the timer of its deadline running. The
server was sent a deadline up to a second too early. A call that was given up was reset with
NO_ERROR instead of CANCEL.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from grpclib.const import Cardinality, Status
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError
from multidict import MultiDict

from ...errors import (
    ChatifyError,
    ClosedError,
    PeerProtocolError,
    UnavailableError,
    UsageError,
    call_error,
)
from ..connection.cancel_scope import CallScope
from ..connection.compression import ENCODINGS, IDENTITY, frame
from ..connection.connection import Peer, WireConnection
from ..connection.stream import CallStream, GoingAwayError
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    USER_AGENT,
    CodecBase,
    Headers,
    Metadata,
    StatusDetailsCodecBase,
    decode_metadata,
    encode_metadata,
)
from .protocol import ClientProtocol
from .response import (
    cancelled_here,
    check_response,
    deadline_exceeded,
    ended_by_server,
    has_status,
    read_status,
    terminated_error,
)


class CallChannel(Protocol):
    @property
    def scheme(self) -> str: ...

    @property
    def is_closed(self) -> bool: ...

    @property
    def failure_message(self) -> str | None: ...

    async def __connect__(self, *, wait_for_ready: bool = False) -> ClientProtocol: ...
    def avoid_connection(self, connection: ClientProtocol) -> None: ...
    def call_started(self) -> None: ...
    def call_ended(self, *, succeeded: bool) -> None: ...


@dataclass(eq=False, repr=False)
class ClientStream:
    """One call, for its caller. Iterating gives the messages of the response.

    A call that does not end with OK raises a `CallError` from the method that notices it. A call
    that this side has ended raises `ClosedError`, and wrong use `UsageError`.
    """

    _channel: CallChannel
    _method_name: str
    _metadata: Metadata
    _cardinality: Cardinality
    _send_type: Any
    _recv_type: Any
    _codec: CodecBase
    _status_details_codec: StatusDetailsCodecBase | None
    _dispatch: Any
    """grpclib's dispatcher of events."""
    _deadline: Deadline | None = None
    _compression: str = IDENTITY
    wait_for_ready: bool = False
    """Wait while no server can be reached, instead of raising `UnavailableError`."""
    initial_metadata: Metadata | None = None
    """The metadata of the response headers, once received: a multidict."""
    trailing_metadata: Metadata | None = None
    """The metadata of the trailers, once received: a multidict."""
    peer: Peer | None = None
    """The server, once the request was sent."""
    _stream: CallStream = field(init=False)
    _protocol: ClientProtocol | None = None
    _connection: WireConnection | None = None
    _server: str = "the server"
    _scope: CallScope = field(default_factory=CallScope)
    _has_sent_request: bool = False
    _has_ended: bool = False
    """The requests have ended."""
    _has_headers: bool = False
    _has_trailers: bool = False
    _has_status_in_headers: bool = False
    _is_cancelled: bool = False

    @property
    def tls_version(self) -> str | None:
        """The TLS version, such as "TLSv1.3". None without TLS, and before the call was sent."""
        return None if self.peer is None else self.peer.tls_version()

    @property
    def is_ended_by_peer(self) -> bool:
        """The server has sent its status, so nothing can be sent any more."""
        return self._has_sent_request and self._stream.remote_ended

    async def __aenter__(self) -> ClientStream:
        if self._deadline is not None:
            with self._errors():
                self._scope.start(self._deadline)
        self._channel.call_started()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        """Wait for the status of the call. Reset the call if an exception has been raised."""
        succeeded = False
        try:
            if error is None and self._has_sent_request and not self._is_cancelled:
                await self._finish()
                succeeded = True
        finally:
            if self._has_sent_request:
                if self._stream.closable:
                    self._stream.reset(ErrorCodes.CANCEL)
                self._stream.release()
            self._scope.stop()
            self._channel.call_ended(succeeded=succeeded)

    async def _finish(self) -> None:
        if not self._has_headers:
            await self.recv_initial_metadata()
        if not self._has_trailers:
            is_single = not self._cardinality.client_streaming
            has_ended = self._has_ended or (is_single and self._has_sent_message)
            if not has_ended and not self.is_ended_by_peer:
                raise UsageError("the requests were not ended; end() or cancel() the call first")
            await self.recv_trailing_metadata()

    @property
    def _has_sent_message(self) -> bool:
        return self._has_sent_request and self._stream.messages_sent > 0

    async def send_request(self, *, end: bool = False) -> None:
        """Send the request headers; else the first message does. `end`: end the requests, too.

        Wait for a connection, and while the server takes no further calls.
        """
        with self._errors():
            if self._has_sent_request:
                raise UsageError("the request was sent already")
            if end and not self._cardinality.client_streaming:
                raise UsageError("a unary request needs its message before its end")
            with self._scope:
                await self._open(end)

    async def _open(self, end: bool) -> None:
        content_type = GRPC_CONTENT_TYPE
        if (subtype := self._codec.__content_subtype__) != "proto":  # gRPC's default
            content_type += f"+{subtype}"
        metadata: Metadata | None = None
        while True:
            protocol = await self._channel.__connect__(wait_for_ready=self.wait_for_ready)
            self._server = protocol.endpoint.name
            self._protocol, self._connection = protocol, protocol.connection
            if metadata is None:
                (metadata,) = await self._dispatch.send_request(
                    self._metadata,
                    method_name=self._method_name,
                    deadline=self._deadline,
                    content_type=content_type,
                )
            headers = self._request_headers(protocol.endpoint.authority, content_type, metadata)
            stream = CallStream(protocol.connection, scope=self._scope)
            stream.encoding = self._compression
            try:
                await stream.open(headers, end_stream=end)
                break
            except GoingAwayError:  # while it waited for its turn
                continue
        self._stream = stream
        self.peer = protocol.connection.peer
        self._has_sent_request = True
        self._has_ended = end

    def _request_headers(
        self, authority: str, content_type: str, metadata: Metadata | None
    ) -> Headers:
        headers = [
            (":method", "POST"),
            (":scheme", self._channel.scheme),
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
            headers.extend(encode_metadata(metadata or ()))
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from error
        return headers

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        """Send one message, after the request headers. `end`: end the requests with it.

        Wait while the server reads too slowly. Cancelling in the middle of a message resets the
        call.
        """
        if self._has_trailers:
            raise ended_by_server()
        is_single = not self._cardinality.client_streaming
        is_open = self._has_sent_request and not self._has_ended
        if is_open and not end and not is_single and not self._dispatch._listeners:
            data = frame(self._codec.encode(message, self._send_type))
            if not self._scope.cancelled and self._stream.try_send(data, 1):
                return
            with self._errors(), self._scope:
                await self._stream.send_data(data, count=1)
            return
        if not self._has_sent_request:
            await self.send_request()
        with self._errors():
            if is_single and self._has_sent_message:
                raise UsageError("the message was sent already")
            if self._has_ended:
                raise UsageError("the requests were ended already")
            with self._scope:
                (message,) = await self._dispatch.send_message(message)
                data = frame(self._codec.encode(message, self._send_type))
                await self._stream.send_data(data, count=1, end_stream=end or is_single)
                self._has_ended = end

    async def end(self) -> None:
        """End the requests, after the messages that wait to be sent."""
        with self._errors():
            if not self._has_sent_request:
                raise UsageError("the request was not sent yet")
            if self._has_ended:
                raise UsageError("the requests were ended already")
            if self._cardinality.client_streaming:
                await self._stream.end()
            elif not self._has_sent_message:
                raise UsageError("a unary request needs its message before its end")
            self._has_ended = True

    async def recv_initial_metadata(self) -> None:
        """Wait for the response headers and set `initial_metadata`; the first read does, too.

        Raise the call's error when the server has sent its status instead.
        """
        with self._errors():
            if not self._has_sent_request:
                raise UsageError("the request was not sent yet")
            if self._has_headers:
                raise UsageError("the initial metadata was received already")
            with self._scope:
                headers = await self._stream.recv_headers()
                self._has_headers = True
                check_response(headers, self._codec)
                self._stream.inbox.encoding = dict(headers).get("grpc-encoding", IDENTITY)
                self._has_status_in_headers = has_status(headers)
                initial = MultiDict() if self._has_status_in_headers else decode_metadata(headers)
                (self.initial_metadata,) = await self._dispatch.recv_initial_metadata(initial)
                if self._has_status_in_headers:
                    await self._receive_status(headers)

    async def _receive_status(self, headers: Headers) -> None:
        status, message, details = read_status(headers, self._status_details_codec)
        (self.trailing_metadata,) = await self._dispatch.recv_trailing_metadata(
            decode_metadata(headers), status=status, status_message=message, status_details=details
        )
        if status is not Status.OK:
            raise call_error(status, message, details, metadata=self.trailing_metadata)

    async def recv_message(self) -> Any:
        """Wait for the next message. Return None after the last one. Cancelling loses nothing."""
        if not self._has_headers:
            await self.recv_initial_metadata()
        if self._stream.inbox.has_compressed:
            await asyncio.sleep(0)  # inflating takes time
        data = self._received() if self._stream.may_take() else None
        if data is None:
            with self._errors():
                data = await self._recv_frame()
            if data is None:
                return None
        message = self._codec.decode(data, self._recv_type)
        if self._dispatch._listeners:
            (message,) = await self._dispatch.recv_message(message)
        return message

    def __aiter__(self) -> ClientStream:
        return self

    async def __anext__(self) -> Any:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def _recv_frame(self) -> bytes | None:
        """Wait for a message. Return one that arrived together with the end of the stream."""
        try:
            with self._scope:
                return await self._stream.recv_frame()
        except StreamTerminatedError:
            data = self._received()
            if data is None:
                raise
            return data

    def _received(self) -> bytes | None:
        """Return a message that has arrived, even if the stream was reset after it."""
        return None if self._is_cancelled else self._stream.inbox.next_nowait()

    async def recv_trailing_metadata(self) -> None:
        """Wait for the status and set `trailing_metadata`; leaving the call does, too.

        It may arrive before this side has ended its requests. Raise the call's error unless the
        status is OK.
        """
        if self._has_sent_request and not self._has_headers:
            await self.recv_initial_metadata()
        with self._errors():
            if not self._has_sent_request:
                raise UsageError("the request was not sent yet")
            if self._has_trailers:
                raise UsageError("the trailing metadata was received already")
            if not self._has_status_in_headers:
                with self._scope:
                    trailers = await self._stream.recv_trailers()
                    self._has_ended = self._has_trailers = True
                    await self._receive_status(trailers)
            self._has_ended = self._has_trailers = True

    def abort(self, error: Exception) -> None:
        """End the call on this side: each task that waits for it, or uses it later, raises."""
        self._scope.cancel(error)

    async def cancel(self) -> None:
        """Reset the call: tasks that wait for it raise `CancelledCallError`. Idempotent."""
        if self._has_sent_request and not self._is_cancelled:
            self._is_cancelled = True
            if self._stream.closable:
                self._stream.reset(ErrorCodes.CANCEL)
            self.abort(cancelled_here())

    def leave_connection(self) -> None:
        """Send the channel's later calls to another connection, and to another server if possible.

        For a server that has refused the call although another server might accept it. Open calls
        continue.
        """
        if self._protocol is not None:
            self._channel.avoid_connection(self._protocol)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate the exceptions of grpclib, h2 and asyncio."""
        try:
            yield
        except ChatifyError:
            raise
        except TimeoutError as error:
            trouble = self._channel.failure_message if self._connection is None else None
            raise deadline_exceeded(trouble) from error
        except StreamTerminatedError as error:
            if self._channel.is_closed:
                raise ClosedError("the channel was closed") from error
            is_over = self._deadline is not None and self._deadline.time_remaining() <= 0
            raise terminated_error(
                error, self._server, self._connection, is_deadline_over=is_over
            ) from error
        except H2ProtocolError as error:
            raise self._stream_closed() from error
        except ProtocolError as error:  # of a listener to events
            raise UsageError(str(error)) from error

    def _stream_closed(self) -> ChatifyError:
        """Return the error for a stream on which h2 sends nothing more: the call has ended."""
        if not self._has_sent_request:
            return UnavailableError(
                Status.UNAVAILABLE, f"the connection to {self._server} is closing"
            )
        stream = self._stream
        headers = stream.trailers or stream.headers
        if headers is not None and stream.remote_ended:
            try:
                outcome = read_status(headers, self._status_details_codec)
            except PeerProtocolError as error:
                return error
            if outcome.status is not Status.OK:
                return call_error(*outcome, metadata=self.trailing_metadata)
        return ended_by_server() if stream.remote_ended else cancelled_here()


def encode_timeout(seconds: float) -> str:
    """Return the grpc-timeout header: rounded up, in the finest unit that needs 8 digits."""
    for unit, per_second in (("u", 1_000_000), ("m", 1_000), ("S", 1)):
        number = math.ceil(seconds * per_second)
        if number < 10**8:
            return f"{number}{unit}"
    return "99999999S"

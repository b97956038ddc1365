"""The handler's view of one call: `grpclib.server.Stream`'s API, with batches and compression."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError
from grpclib.metadata import Deadline
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError
from multidict import MultiDict

from ...errors import CallError, CancelledCallError, StatusError, UsageError
from ..connection.compression import ENCODINGS, IDENTITY, check_encoding, frame, is_accepted
from ..connection.connection import Peer
from ..connection.grpc_headers import Request
from ..connection.inbox import BatchConsumer, Meter
from ..connection.statistics import StreamStatistics
from ..connection.stream import CallStream
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    CodecBase,
    Headers,
    Metadata,
    MetadataLike,
    MethodHandler,
    StatusDetailsCodecBase,
    encode_grpc_message,
    encode_metadata,
)
from ..protobuf.codec import ProtoCodec

T = TypeVar("T")


class ServerStream:
    """One call, for its handler. Iterating gives the messages until the client half-closes."""

    identity: Any = None
    """The caller's identity, which an interceptor may set."""
    aborted: CallError | None = None
    """The error with which `abort` ended the call."""
    client_address: str | None = None
    """The client's address from a trusted proxy's header, which an interceptor may set."""
    log_fields: Mapping[str, str] = {}
    """Fields that the handler adds for observers of the call, such as the access log."""

    def __init__(
        self,
        stream: CallStream,
        method: MethodHandler,
        request: Request,
        *,
        codec: CodecBase,
        status_details_codec: StatusDetailsCodecBase | None,
        dispatch: Any,
    ) -> None:
        """`dispatch`: grpclib's dispatcher of events."""
        self._stream = stream
        self._cardinality = method.cardinality
        self._recv_type = method.request_type
        self._send_type = method.reply_type
        self._codec = codec
        self._status_details_codec = status_details_codec
        self._dispatch = dispatch
        self.method = request.method
        """The path of the method, `/package.Service/Method`."""
        self.metadata: Metadata | None = request.metadata
        """The metadata of the request: a multidict, as a key may have several values."""
        self.deadline: Deadline | None = request.deadline
        self.user_agent = request.user_agent
        self.peer: Peer = stream.connection.peer
        stream.inbox.encoding = self._request_encoding = request.encoding
        self._accept_encoding = request.accept_encoding
        self.compression = request.encoding
        self.trailers: MultiDict[str | bytes] = MultiDict()
        """Trailing metadata to send with the status that ends the call."""
        self.sent_status: Status | None = None
        """The status that was sent to the client."""
        self.sent_status_message: str | None = None
        self._has_sent_trailers = False
        self._is_cancelled = False

    @property
    def meter(self) -> Meter | None:
        """Counts and limits the received messages; an interceptor may set it."""
        return self._stream.inbox.meter

    @meter.setter
    def meter(self, meter: Meter | None) -> None:
        self._stream.inbox.meter = meter

    @property
    def compression(self) -> str:
        """The compression of replies: "gzip", "deflate", or "identity" for none.

        By default it is the compression of the requests. Set it before the response headers are
        sent. Replies are not compressed if the client does not accept the encoding. Raise
        `UsageError` for another name, and when the headers were sent.
        """
        return self._compression

    @compression.setter
    def compression(self, name: str) -> None:
        check_encoding(name)
        if self._stream.has_sent_headers:
            raise UsageError("compression has to be set before the first reply is sent")
        self._compression = name if is_accepted(name, self._accept_encoding) else IDENTITY

    @property
    def _content_type(self) -> str:
        return f"{GRPC_CONTENT_TYPE}+{self._codec.__content_subtype__}"

    async def recv_message(self) -> Any:
        """Wait for the next message. Return None after the last one. Cancelling loses nothing.

        Raise `StatusError` for a message that cannot be read, and at the end of a call without the
        message that its method requires.
        """
        data = await self._stream.recv_frame()
        if data is None:
            self._check_number()
            return None
        message = self._codec.decode(data, self._recv_type)
        (message,) = await self._dispatch.recv_message(message)
        return message

    def __aiter__(self) -> ServerStream:
        return self

    async def __anext__(self) -> Any:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def recv_messages(self) -> list[Any]:
        """Wait for messages. Return those that have arrived, up to a limit; none after the last.

        Cancelling loses nothing. Raise `StatusError` for a message that cannot be read, after
        those before it have been returned. grpclib's event RecvMessage is not dispatched.
        """
        decode, kind = self._codec.decode, self._recv_type
        return await self.receive_batch(lambda data: decode(data, kind))

    async def receive_batch(self, decode: Callable[[bytes], T]) -> list[T]:
        """Do as `recv_messages`, with `decode` in place of the codec.

        `decode` raises `StatusError` or `ValueError` for bytes that are not a message.
        """
        while messages := await self._stream.recv_frames():
            try:
                return [decode(data) for data in messages]
            except (StatusError, ValueError):
                if decoded := self.decode_until_error(messages, decode):
                    return decoded
        self._check_number()
        return []

    async def feed(self, consumer: BatchConsumer) -> bool:
        """Give messages to `consumer` until it needs the calling task.

        Messages that arrive while this waits are consumed within the read that brought them, so
        that no task has to be woken, unless they are compressed.

        Return True after `consumer` has returned False, and False after the last message. Raise
        `StatusError` as `recv_messages` does. Cancelling loses nothing.
        """
        inbox = self._stream.inbox
        while not inbox.needs_reader:
            inbox.consumer = consumer
            try:
                messages = await self._stream.recv_frames()
            finally:
                inbox.consumer = None
            if messages:
                if not consumer.consume(messages):
                    return True
            elif not inbox.needs_reader:
                self._check_number()
                return False
        inbox.needs_reader = False
        return True

    def decode_until_error(self, messages: list[bytes], decode: Callable[[bytes], T]) -> list[T]:
        """Return the messages before the first that cannot be decoded.

        Later messages are discarded. The next call that receives raises the error.
        """
        decoded: list[T] = []
        for data in messages:
            try:
                decoded.append(decode(data))
            except (StatusError, ValueError) as error:
                if isinstance(error, ValueError):
                    error = ProtoCodec.malformed(self._recv_type, error)
                self._stream.inbox.reject(error, len(messages) - len(decoded))
                break
        return decoded

    def _check_number(self) -> None:
        """Raise at the end of the requests if a required message is missing."""
        if not self._cardinality.client_streaming and not self._stream.inbox.messages_received:
            raise StatusError(
                Status.UNIMPLEMENTED, "the method takes one message, and the call has none"
            )

    async def send_message(self, message: Any) -> None:
        """Send one message, after the response headers. Wait while the client reads too slowly.

        Raise `CancelledCallError` when the client has left, and grpclib's `ProtocolError` for a
        second message of a unary response. Cancelling in the middle of a message resets the call.
        """
        with _noticing_departure():
            if not self._stream.has_sent_headers:
                await self.send_initial_metadata()
            if not self._cardinality.server_streaming and self._stream.messages_sent:
                raise ProtocolError("the message was sent already")
            (message,) = await self._dispatch.send_message(message)
            data = frame(self._codec.encode(message, self._send_type))
            await self._stream.send_data(data, count=1)

    async def send_messages(self, messages: Iterable[Any]) -> None:
        """Send messages in order, as `send_message` would one after the other.

        grpclib's event SendMessage is not dispatched.
        """
        encode, kind = self._codec.encode, self._send_type
        frames = [frame(encode(message, kind)) for message in messages]
        await self.send_framed(b"".join(frames), len(frames))

    async def send_framed(self, frames: bytes, count: int = 1) -> None:
        """Send `count` encoded messages, each with the prefix that `frame` adds.

        A message for many clients has to be encoded only once. Raise `UsageError` if `frames` is
        not bytes. As `send_message` otherwise.
        """
        _check_frames(frames)
        if not self._stream.has_sent_headers:
            await self.send_initial_metadata()
        if frames:
            with _noticing_departure():
                await self._stream.send_data(frames, count=count)

    def try_send_framed(self, frames: bytes, count: int = 1) -> bool:
        """Send as `send_framed` does, if that needs no waiting. Return False if nothing was sent.

        Nothing is sent before the response headers were sent, while another task waits to send,
        when the client reads too slowly, for more than 64 KiB, and when replies are compressed.
        """
        if type(frames) is not bytes:
            _check_frames(frames)
        stream = self._stream
        return stream.connection.write_buffer.try_send(stream, frames, count)

    def sender(self) -> Callable[[bytes, int], bool]:
        """Return `try_send_framed` as a function that does not pass through this object.

        For code in the path of each message. It does not check its arguments.
        """
        return partial(self._stream.connection.write_buffer.try_send, self._stream)

    async def room_for(self, size: int) -> None:
        """Wait until framed messages of `size` bytes can probably be sent whole and at once.

        A call that is cancelled here can still end with a status. In the middle of a message it
        cannot.
        """
        with _noticing_departure():
            await self._stream.room_for(size)

    def limit_messages(self, max_size: int) -> None:
        """Reject messages larger than `max_size` bytes with RESOURCE_EXHAUSTED."""
        self._stream.inbox.limit(max_size)

    @property
    def is_unary(self) -> bool:
        """The method takes one message and answers with one."""
        return self._cardinality is Cardinality.UNARY_UNARY

    @property
    def is_half_closed(self) -> bool:
        """The client sends no more messages, and all of them were taken."""
        return self._stream.remote_ended and not self._stream.inbox.bytes_waiting

    @property
    def is_ended(self) -> bool:
        """Nothing more can be sent: the trailers were sent, or the stream is closed."""
        return self._has_sent_trailers or not self._stream.closable

    def abort(self, error: CallError) -> None:
        """End the call with `error`: each task that waits inside the call raises it."""
        self.aborted = error
        if self._stream.scope is not None:
            self._stream.scope.cancel(error)

    async def cancel(self) -> None:
        """Reset the stream, so that the client expects nothing more from the call.

        Raise grpclib's `ProtocolError` the second time.
        """
        if self._is_cancelled:
            raise ProtocolError("the call was cancelled already")
        self._stream.reset(ErrorCodes.NO_ERROR)
        self._is_cancelled = True

    @property
    def messages(self) -> tuple[int, int]:
        """The numbers of messages received and sent: faster than `statistics`."""
        return self._stream.inbox.messages_received, self._stream.messages_sent

    def statistics(self) -> StreamStatistics:
        """Return the counters of this stream so far."""
        return StreamStatistics(*self.messages, self._stream.inbox.bytes_waiting)

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """Send the response headers with `metadata`; else the first message does.

        Raise grpclib's `ProtocolError` when they were sent, and `TypeError` or `ValueError` for
        metadata that cannot be sent.
        """
        if self._stream.has_sent_headers:
            raise ProtocolError("the response headers were sent already")
        encoding = self._compression
        headers = [(":status", "200"), ("content-type", self._content_type)]
        if encoding != IDENTITY:
            headers.append(("grpc-encoding", encoding))
        if self._request_encoding != IDENTITY:
            headers.append(("grpc-accept-encoding", ENCODINGS))
        (sent,) = await self._dispatch.send_initial_metadata(MultiDict(metadata or ()))
        headers.extend(encode_metadata(sent))
        self._stream.encoding = encoding
        await self._stream.send_headers(headers)

    async def send_trailing_metadata(
        self,
        *,
        status: Status = Status.OK,
        status_message: str | None = None,
        status_details: Any = None,
        metadata: MetadataLike | None = None,
    ) -> None:
        """Send the status that ends the call, with `trailers` and `metadata`.

        The values in `metadata` replace those that `trailers` has for the same key. The server
        calls this when the handler has not.

        Raise grpclib's `ProtocolError` when the trailers were sent, and for status OK without a
        message of a unary response; `TypeError` or `ValueError` for metadata that cannot be sent.
        """
        if self._has_sent_trailers:
            raise ProtocolError("the trailers were sent already")
        is_single = not self._cardinality.server_streaming
        if is_single and status is Status.OK and not self._stream.messages_sent:
            raise ProtocolError("a unary response with status OK needs a message")
        headers: Headers = []
        if not self._stream.has_sent_headers:
            headers = [(":status", "200"), ("content-type", self._content_type)]
        headers.append(("grpc-status", str(status.value)))
        if status_message is not None:
            headers.append(("grpc-message", encode_grpc_message(status_message)))
        if status_details is not None and self._status_details_codec is not None:
            details = self._status_details_codec.encode(status, status_message, status_details)
            encoded = base64.b64encode(details).rstrip(b"=").decode()
            headers.append(("grpc-status-details-bin", encoded))
        sent = MultiDict(self.trailers)
        sent.update(MultiDict(metadata or ()))
        (sent,) = await self._dispatch.send_trailing_metadata(
            sent, status=status, status_message=status_message, status_details=status_details
        )
        headers.extend(encode_metadata(sent))
        await self._stream.send_headers(headers, end_stream=True)
        self._has_sent_trailers = True
        self.sent_status = status
        self.sent_status_message = status_message
        if status is not Status.OK and self._stream.closable:
            self._stream.reset(ErrorCodes.NO_ERROR)

    async def __aenter__(self) -> ServerStream:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, *_: object) -> bool | None:
        """End the call with OK, or with the status of the exception, as grpclib does."""
        if self._is_cancelled or self.is_ended:
            return True
        if error is not None and not isinstance(error, Exception):
            return None
        status, message, details = Status.OK, None, None
        if isinstance(error, GRPCError):
            status, message, details = error.status, error.message, error.details
        elif error is not None:
            status, message = Status.UNKNOWN, "Internal Server Error"
        with _noticing_departure():
            await self.send_trailing_metadata(
                status=status, status_message=message, status_details=details
            )
        return True

    def release(self) -> None:
        """Drop references at the end of the call, so that no garbage collector is needed."""
        self._stream.inbox.discard()
        if self._stream.scope is not None:
            self._stream.scope.release()


def _check_frames(frames: bytes) -> None:
    if not isinstance(frames, bytes):  # found later, it would break the whole connection
        raise UsageError(
            f"framed messages are bytes, as frame() makes them, not {type(frames).__name__}"
        )


@contextmanager
def _noticing_departure() -> Iterator[None]:
    try:
        yield
    except H2ProtocolError as error:
        raise CancelledCallError(Status.CANCELLED, "the client has left the call") from error

"""The handler's view of one call: grpclib's stream, with batches, compression and trailers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from grpclib.const import Cardinality, Status
from grpclib.exceptions import ProtocolError
from grpclib.server import Stream
from h2.exceptions import ProtocolError as H2ProtocolError
from multidict import MultiDict

from ...errors import CallError, CancelledCallError, StatusError, UsageError
from ..connection.cancel_scope import CallScope, clear_traceback
from ..connection.compression import ENCODINGS, IDENTITY, check_encoding, frame, is_accepted
from ..connection.statistics import StreamStatistics
from ..connection.stream import CallStream
from ..grpclib_internals import Metadata, MetadataLike, encode_metadata
from ..protobuf.codec import ProtoCodec

__all__ = ["Meter", "ServerStream"]

T = TypeVar("T")

Meter = Callable[[list[bytes]], StatusError | None]
"""Told the messages that have come, before they are decoded.

It leaves those in the list that may be given out, and returns what stands behind them: the error
that ends the call in place of those that it has taken away.
"""


class ServerStream(Stream[Any, Any]):
    """grpclib's stream of a handler, with compression and trailers that may be set ahead."""

    _stream: CallStream

    identity: Any = None
    """Who calls, as an interceptor has found; of no concern here."""

    aborted: CallError | None = None
    """What `abort` has ended the call with."""

    client_address: str | None = None
    """From where, as an interceptor has found in a header of a trusted proxy."""

    meter: Meter | None = None
    """Counts the messages that come, if an interceptor wants to know."""

    log_fields: Mapping[str, str] = {}
    """What its handler tells those who observe the call; of no concern here."""

    def __init__(
        self, *args: Any, encoding: str = IDENTITY, accept_encoding: str = "", **kwargs: Any
    ) -> None:
        """`encoding` is that of the requests; `accept_encoding` says what the client reads."""
        super().__init__(*args, **kwargs)
        self._stream.inbox.encoding = self._request_encoding = encoding
        self._accept_encoding = accept_encoding
        self.compression = encoding
        self.trailers: dict[str, str | bytes] = {}
        """Trailing metadata, sent with the status that ends the call."""
        self.sent_status: Status | None = None
        """The status that the client was sent."""
        self.sent_status_message: str | None = None
        self._unreadable: StatusError | None = None
        self._left: list[Any] | None = None
        """Messages that were not dealt with at once."""
        # While its reader waits: what messages are made with, and given to at once.
        self._decode: Callable[[bytes], Any] = bytes
        self._at_once: Callable[[list[Any]], bool] | None = None

    @property
    def compression(self) -> str:
        """How replies are compressed: "gzip", "deflate", or "identity" for not at all.

        As the requests are, unless it is set before the response headers are sent. Where the
        client does not accept what is asked for, replies are not compressed. Raises `UsageError`
        for another name, and when it is too late.
        """
        return self._compression

    @compression.setter
    def compression(self, name: str) -> None:
        check_encoding(name)
        if self._send_initial_metadata_done:
            raise UsageError("compression has to be set before the first reply is sent")
        self._compression = name if is_accepted(name, self._accept_encoding) else IDENTITY

    async def recv_message(self) -> Any:
        """The next message, or None after the last one. Cancelled, it loses nothing.

        Raises `StatusError` for a message that cannot be read, and where there is none although
        the method takes one.
        """
        data = await self._stream.recv_frame()
        if data is None:
            self._check_number()
            return None
        if self.meter is not None and (refusal := self.meter([data])) is not None:
            raise refusal
        message = self._codec.decode(data, self._recv_type)
        (message,) = await self._dispatch.recv_message(message)
        self._messages_received += 1
        self._stream.connection.messages_received += 1
        return message

    async def recv_messages(self) -> list[Any]:
        """The next messages, as many as have come, within reason; none after the last one.

        Cancelled, it loses nothing. Raises `StatusError` for a message that cannot be read, once
        those before it have been given out. grpclib's event RecvMessage is not dispatched.
        """
        decode, kind = self._codec.decode, self._recv_type
        return await self.receive_batch(lambda data: decode(data, kind))

    async def receive_batch(
        self,
        decode: Callable[[bytes], T],
        at_once: Callable[[list[T]], bool] | None = None,
    ) -> list[T]:
        """As `recv_messages`, with what `decode` makes of the bytes of each message.

        `decode` raises `StatusError` or `ValueError` for bytes that are no message.

        Messages that come while it waits are given to `at_once` within the read that brought them,
        if it is there and they are not compressed. It neither waits nor raises, and returns
        whether it has dealt with them all; if not, they are returned here.
        """
        if self._unreadable is not None and not self._left:
            raise self._unreadable
        inbox = self._stream.inbox
        self._decode, self._at_once = decode, at_once
        inbox.at_once = None if at_once is None else self._deal
        encoded = None
        try:
            if not self._left:  # by a reader that was cancelled
                encoded = await self._stream.recv_frames()
        finally:
            inbox.at_once = None
        if self._left:
            left, self._left = self._left, None
            return left
        if self._unreadable is not None:
            raise self._unreadable
        messages = self._decoded(encoded or [], decode)
        if not messages:
            self._check_number()
        return messages

    def release(self) -> None:
        """The call is over: its errors do not keep it."""
        clear_traceback(self._unreadable)
        self._at_once = None
        self._stream.inbox.discard()
        if self._stream.wrapper is not None:
            cast(CallScope, self._stream.wrapper).release()

    def _deal(self) -> bool:
        try:
            messages = self._decoded(self._stream.recv_frames_nowait(), self._decode)
        except StatusError as error:
            self._unreadable = error
            return False
        if self._at_once is not None and self._at_once(messages):
            return self._unreadable is None
        self._left = messages
        return False

    def _decoded(self, encoded: list[bytes], decode: Callable[[bytes], T]) -> list[T]:
        refusal = None
        if self.meter is not None and encoded:
            refusal = self.meter(encoded)
        try:
            messages = [decode(data) for data in encoded]
        except (StatusError, ValueError):
            messages = self._decode_until_an_error(encoded, decode)
        self._messages_received += len(messages)
        self._stream.connection.messages_received += len(messages)
        if refusal is not None:
            self._unreadable = self._unreadable or refusal
            if not messages:
                raise self._unreadable
        return messages

    def _decode_until_an_error(self, encoded: list[bytes], decode: Callable[[bytes], T]) -> list[T]:
        messages: list[T] = []
        for data in encoded:
            try:
                messages.append(decode(data))
            except (StatusError, ValueError) as error:
                if isinstance(error, ValueError):
                    error = ProtoCodec.malformed(self._recv_type, error)
                if not messages:
                    raise error from None
                self._unreadable = error
                break
        return messages

    def _check_number(self) -> None:
        """At the end of the requests: a unary one has to have come."""
        if not self._cardinality.client_streaming and not self._messages_received:
            raise StatusError(
                Status.UNIMPLEMENTED, "the method takes one message, and the call has none"
            )

    async def send_messages(self, messages: Iterable[Any]) -> None:
        """Sends messages that follow each other, as `send_message` would one after the other.

        grpclib's event SendMessage is not dispatched.
        """
        encode, kind = self._codec.encode, self._send_type
        frames = [frame(encode(message, kind)) for message in messages]
        await self.send_framed(b"".join(frames), len(frames))

    async def send_framed(self, frames: bytes, count: int = 1) -> None:
        """Sends `count` messages that are encoded, each with the prefix that `frame` gives it.

        What goes to many clients is encoded once so. Raises `UsageError` for what is not bytes.
        """
        _check_frames(frames)
        if not self._send_initial_metadata_done:
            await self.send_initial_metadata()
        if frames:
            with _noticing_departure():
                await self._stream.send_data(frames)
            self._messages_went(count)

    def try_send_framed(self, frames: bytes, count: int = 1) -> bool:
        """As `send_framed`, if the client takes it at once; False when nothing has been sent.

        So it is before the response headers were sent, while somebody else waits to send, when
        the client reads too slowly, for more than 64 KiB at once, and always when replies are
        compressed; `send_framed` waits.
        """
        if type(frames) is not bytes:
            _check_frames(frames)
        stream = self._stream
        if not self._send_initial_metadata_done or not stream.send_data_nowait(frames):
            return False
        self._send_message_done = True  # as `_messages_went`, in the path of each delivery
        self._messages_sent += count
        stream.connection.messages_sent += count
        return True

    async def room_for(self, size: int) -> None:
        """Waits until framed messages of `size` bytes are likely to leave whole, and at once.

        Cancelled here, the call can still end with a status; in the middle of a message it cannot.
        """
        with _noticing_departure():
            await self._stream.room_for(size)

    def limit_messages(self, max_size: int) -> None:
        """Takes no message of more bytes on this call; the call ends RESOURCE_EXHAUSTED by one."""
        self._stream.inbox.limit(max_size)

    @property
    def method(self) -> str:
        """The path of the method, `/package.Service/Method`."""
        return self._method_name

    @property
    def is_unary(self) -> bool:
        """The method takes one message and answers with one."""
        return self._cardinality is Cardinality.UNARY_UNARY

    @property
    def is_half_closed(self) -> bool:
        """The client sends nothing more, and all that it has sent was taken."""
        return self._stream.remote_ended and not self._stream.inbox.bytes_waiting

    def abort(self, error: CallError) -> None:
        """Ends the call: whatever its handler waits for raises `error`, which ends it so."""
        self.aborted = error
        if self._stream.wrapper is not None:
            self._stream.wrapper.cancel(error)

    def _messages_went(self, count: int) -> None:
        self._send_message_done = True
        self._messages_sent += count
        self._stream.connection.messages_sent += count

    @property
    def messages(self) -> tuple[int, int]:
        """How many messages have come, and how many have gone: quicker than `statistics`."""
        return self._messages_received, self._messages_sent

    def statistics(self) -> StreamStatistics:
        """What has come and gone on this stream so far."""
        return StreamStatistics(
            self._messages_received, self._messages_sent, self._stream.inbox.bytes_waiting
        )

    async def send_message(self, message: Any) -> None:
        """grpclib's; raises `CancelledCallError` when the client has left."""
        with _noticing_departure():
            await super().send_message(message)

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """grpclib's, with the headers of compression on calls that have to do with it."""
        if self._send_initial_metadata_done:
            raise ProtocolError("the response headers were sent already")
        encoding = self._compression
        headers = [(":status", "200"), ("content-type", self._content_type)]
        if encoding != IDENTITY:
            headers.append(("grpc-encoding", encoding))
        if self._request_encoding != IDENTITY:
            headers.append(("grpc-accept-encoding", ENCODINGS))
        sent = cast(Metadata, MultiDict(metadata or ()))
        (sent,) = await self._dispatch.send_initial_metadata(sent)
        headers.extend(encode_metadata(sent))
        await self._stream.send_headers(headers)
        self._stream.encoding = encoding
        self._send_initial_metadata_done = True

    async def send_trailing_metadata(self, *, metadata: Any = None, **kwargs: Any) -> None:
        metadata = dict(metadata or {})
        await super().send_trailing_metadata(metadata=self.trailers | metadata, **kwargs)
        self.sent_status = kwargs.get("status", Status.OK)
        self.sent_status_message = kwargs.get("status_message")

    @property
    def is_ended(self) -> bool:
        """Nothing more can be sent: the trailers are, or the stream is gone."""
        return self._send_trailing_metadata_done or not self._stream.closable


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

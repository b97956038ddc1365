"""The server's side of calls: one task a call, from its headers to its end.

Rules: every call ends with trailers or a reset, and its stream is released once its task is done,
whatever ended it - also a task that was cancelled before its first step (CVE-2023-44487).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar, cast

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline
from grpclib.server import Stream
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError
from multidict import MultiDict

from ...errors import CallError, CancelledCallError, StatusError, UnavailableError, UsageError
from ..connection.cancel_scope import CallWrapper, let_go
from ..connection.compression import ENCODINGS, IDENTITY, check_encoding, frame, is_accepted
from ..connection.grpc_headers import RefusalError, Request, read_request
from ..connection.statistics import StreamStatistics
from ..connection.stream import CallStream
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    AbstractHandler,
    CodecBase,
    DispatchServerEvents,
    H2Stream,
    Headers,
    Metadata,
    MetadataLike,
    MethodHandler,
    StatusDetailsCodecBase,
    encode_grpc_message,
    encode_metadata,
)
from ..http2.flood import FloodError
from ..protobuf.codec import ProtoCodec
from .http_pages import Page, Pages, find_page
from .observers import Observers
from .refusal_pacing import REFUSED, Refusals

__all__ = ["Calls", "Meter", "ServerStream", "Services"]

log = logging.getLogger(__name__)

FULL_CALLS = 128
"""The open calls of a connection have no more headers than so many that have all they may."""

TIME_TO_END = 0.5
"""Seconds that a client has to end a request that is not gRPC, before it is answered."""

RESET = "RESET"
SHUTTING_DOWN = "the server is shutting down"
CLOSING = "the connection is being closed: calls are to be made on a new one"
TOO_OLD = "the connection has reached its age: the call may be made on a new one"


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

    about: Mapping[str, str] = {}
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
        return await self.recv_decoded(lambda data: decode(data, kind))

    async def recv_decoded(
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

    def let_go(self) -> None:
        """The call is over: its errors do not keep it."""
        let_go(self._unreadable)
        self._at_once = None
        self._stream.inbox.let_go()
        if self._stream.wrapper is not None:
            cast(CallWrapper, self._stream.wrapper).let_go()

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
                    error = ProtoCodec.not_valid(self._recv_type, error)
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

    def send_framed_nowait(self, frames: bytes, count: int = 1) -> bool:
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

    def send_framed_in_turn(self, frames: bytes, count: int = 1) -> bool:
        """As `send_framed_nowait`; and False when it is time to let others run."""
        sent = self._send_initial_metadata_done and self._stream.send_data_in_turn(frames)
        if sent:
            self._messages_went(count)
        return sent

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


@dataclass(frozen=True)
class Services:
    """What all connections of a server share."""

    methods: Mapping[str, MethodHandler]
    codec: CodecBase
    status_details_codec: StatusDetailsCodecBase | None
    dispatch: DispatchServerEvents
    pages: Pages
    max_header_list_size: int
    observers: Observers = field(default_factory=Observers)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    """The tasks of all open calls, on all connections."""
    ended: Counter[str] = field(default_factory=Counter)
    """How many calls have ended: by the name of the status sent, RESET without one, HTTP pages."""


@dataclass(frozen=True)
class _Outcome:
    status: Status
    message: str | None = None
    details: Any = None


class Calls(AbstractHandler):
    """The open calls of one connection."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._new: dict[H2Stream, tuple[Headers, str | None, Callable[[], None]]] = {}
        self._tasks: dict[H2Stream, asyncio.Task[None]] = {}
        self._refusal: str | None = None
        self._ending: str | None = None
        self._refusals: Refusals | None = None  # most connections need none
        self._header_bytes = 0

    def accept(
        self, stream: H2Stream, headers: Headers, release_stream: Callable[[], None]
    ) -> None:
        if self._refusals is not None and self._refusals.is_too_much(_now()):
            release_stream()
            raise FloodError("too_many_refusals")
        # Not run before the end of the read, by which it may have been reset (CVE-2023-44487).
        if not self._new:
            cast(CallStream, stream).connection.openings.append(self._begin)
        self._new[stream] = (headers, self._refusal, release_stream)

    def _begin(self) -> bool:
        """Runs the calls that reads have brought, the first ones now."""
        if not self._new:  # they were reset
            return True
        loop = asyncio.get_running_loop()
        first = cast(CallStream, next(iter(self._new)))
        for stream in list(islice(self._new, first.connection.company.turn.calls)):
            headers, refusal, release_stream = self._new.pop(stream)
            task = loop.create_task(self._serve(stream, headers, refusal), name="call")
            self._tasks[stream] = task
            self._services.calls.add(task)
            task.add_done_callback(_End(self, stream, release_stream))
        if self._new:
            loop.call_soon(self._begin)
        return False

    def refuse(self, reason: str) -> None:
        """From now on new calls are answered UNAVAILABLE."""
        self._refusal = self._refusal or reason

    def cancel(self, stream: H2Stream) -> None:
        """The peer has reset the stream."""
        task = self._tasks.get(stream)
        if task is not None:
            _cancel(stream, task)
        elif stream in self._new:
            self._drop(stream)

    def close(self) -> None:
        """The connection is gone."""
        for stream in list(self._new):
            self._drop(stream)
        for stream, task in self._tasks.items():
            _cancel(stream, task)

    def end(self, reason: str = SHUTTING_DOWN) -> None:
        """Ends every open call UNAVAILABLE, and refuses new ones."""
        self._ending = reason
        self.refuse(reason)
        for stream in self._tasks:
            if stream.wrapper is not None:  # one that has not begun yet is refused when it does
                stream.wrapper.cancel(UnavailableError(Status.UNAVAILABLE, reason))

    def _drop(self, stream: H2Stream) -> None:
        """A call that was reset before it has begun."""
        _, _, release = self._new.pop(stream)
        self._services.ended[RESET] += 1
        release()

    def ended(
        self, stream: H2Stream, release: Callable[[], None], task: asyncio.Task[None]
    ) -> None:
        """The task of a call is done."""
        if task.cancelled():
            self._services.ended[RESET] += 1
        del self._tasks[stream]
        self._services.calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call could not be ended", exc_info=error)
        if stream.closable:
            stream.reset_nowait(ErrorCodes.CANCEL if task.cancelled() else ErrorCodes.NO_ERROR)
        release()

    async def _serve(self, h2_stream: H2Stream, headers: Headers, refusal: str | None) -> None:
        services = self._services
        found = find_page(headers, services.pages)
        if found is not None:
            page, with_body = found
            await _wait_for_end(h2_stream)
            await _show(h2_stream, page, with_body)
            services.ended[f"HTTP {page.status}"] += 1
            return
        request = self._read(headers, refusal)
        del headers  # which would be kept as long as the call
        if isinstance(request, RefusalError):
            await self._turn_away(h2_stream, request)
            return
        method = services.methods[request.method]
        stream = ServerStream(
            h2_stream,
            request.method,
            method.cardinality,
            method.request_type,
            method.reply_type,
            codec=services.codec,
            status_details_codec=services.status_details_codec,
            dispatch=services.dispatch,
            deadline=request.deadline,
            user_agent=request.user_agent,
            encoding=request.encoding,
            accept_encoding=request.accept_encoding,
        )
        stream.metadata = request.metadata
        ends = services.observers.call_started(stream) if services.observers else ()
        size, content_type = request.header_list_size, request.content_type
        del request  # as the headers
        self._header_bytes += size
        try:
            outcome = await self._run(stream, h2_stream, method, content_type)
            if outcome.status in REFUSED:
                await self._pace(h2_stream)
            if not stream.is_ended:
                try:
                    await _end(stream, outcome)
                except H2ProtocolError as error:
                    log.debug("%s: the peer has left: %s", stream.method, error)
            services.ended[RESET if stream.sent_status is None else stream.sent_status.name] += 1
        finally:
            stream.let_go()
            self._header_bytes -= size
            Observers.call_ended(ends, stream.sent_status, stream.sent_status_message)

    def _read(self, headers: Headers, refusal: str | None) -> Request | RefusalError:
        """The call, or why it is refused; that holds nothing of the headers."""
        services = self._services
        most = services.max_header_list_size
        try:
            subtype = services.codec.__content_subtype__
            request = read_request(headers, services.methods, subtype, most)
            if reason := refusal or self._ending:
                raise RefusalError(Status.UNAVAILABLE, reason)
            if self._header_bytes + request.header_list_size > FULL_CALLS * most:
                raise RefusalError(
                    Status.RESOURCE_EXHAUSTED,
                    f"the open calls of this connection have {self._header_bytes} bytes of "
                    f"headers; at most {FULL_CALLS * most} are taken",
                )
        except RefusalError as error:
            return error.with_traceback(None)
        return request

    async def _turn_away(self, h2_stream: H2Stream, refusal: RefusalError) -> None:
        if refusal.http_status != 200:
            await _wait_for_end(h2_stream)
        if refusal.status is not Status.UNAVAILABLE:
            await self._pace(h2_stream)
        await _refuse(h2_stream, refusal, self._services.codec.__content_subtype__)
        self._services.ended[refusal.status.name] += 1

    async def _pace(self, h2_stream: H2Stream) -> None:
        """Waits until a call that is refused may be told so."""
        stream = cast(CallStream, h2_stream)
        now = _now()
        if self._refusals is None:
            self._refusals = Refusals(stream.connection.limits, now)
        delay = self._refusals.delay(now)
        if delay and self._refusal is None:
            stream.inbox.drop()
            await asyncio.sleep(delay)

    async def _run(
        self, stream: ServerStream, h2_stream: H2Stream, method: MethodHandler, content_type: str
    ) -> _Outcome:
        """Runs the handler; says how the call ends. Raises only its own cancellation."""
        h2_stream.wrapper = wrapper = CallWrapper()
        try:
            with wrapper if stream.deadline is None else wrapper.until(stream.deadline):
                stream.metadata, handler = await self._services.dispatch.recv_request(
                    cast(Metadata, stream.metadata),
                    method.func,
                    method_name=stream.method,
                    deadline=stream.deadline,
                    content_type=content_type,
                    user_agent=stream.user_agent,
                    peer=stream.peer,
                )
                await handler(stream)
        except GRPCError as error:
            if isinstance(error, CallError):
                stream.trailers.update(error.metadata)
            return _Outcome(error.status, error.message, error.details)
        except StreamTerminatedError as error:
            log.debug("%s: %s", stream.method, error)
            return _Outcome(Status.CANCELLED)
        except TimeoutError:
            if wrapper.cancelled or _is_over(stream.deadline):
                return _Outcome(Status.DEADLINE_EXCEEDED, "the deadline of the call has passed")
            return _failed(stream.method)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return _failed(stream.method)  # of a future that the handler awaited
        except GeneratorExit:
            raise  # its task is being thrown away, and must not wait for anything more
        except BaseException:  # SystemExit would stop the event loop, and with it everybody
            return _failed(stream.method)
        return _Outcome(Status.OK)


class _End:
    """Called when the task of a call is done; a `partial` would take four times as much."""

    __slots__ = ("_calls", "_release", "_stream")

    def __init__(self, calls: Calls, stream: H2Stream, release: Callable[[], None]) -> None:
        self._calls = calls
        self._stream = stream
        self._release = release

    def __call__(self, task: asyncio.Task[None]) -> None:
        self._calls.ended(self._stream, self._release, task)


def _cancel(stream: H2Stream, task: asyncio.Task[None]) -> None:
    """Once: a handler that runs is cancelled by its wrapper, when its stream is terminated."""
    if stream.wrapper is None or not cast(CallWrapper, stream.wrapper).is_entered:
        task.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_over(deadline: Deadline | None) -> bool:
    return deadline is not None and deadline.time_remaining() <= 0


def _failed(method: str) -> _Outcome:
    # The text of the exception is for the log alone: it may hold what clients must not see.
    log.exception("%s: the handler failed", method)
    return _Outcome(Status.INTERNAL, "the handler failed")


async def _end(stream: ServerStream, outcome: _Outcome) -> None:
    try:
        await stream.send_trailing_metadata(
            status=outcome.status,
            status_message=outcome.message,
            status_details=outcome.details,
        )
    except ProtocolError as error:  # a unary call that sent no message
        log.error("%s", error)
        await stream.send_trailing_metadata(
            status=Status.INTERNAL, status_message="the handler sent no message"
        )
    except (TypeError, ValueError) as error:  # metadata that cannot be sent
        log.error("the trailers cannot be sent: %s", error)
        stream.trailers.clear()
        await stream.send_trailing_metadata(
            status=Status.INTERNAL, status_message="the handler set trailers that cannot be sent"
        )


async def _wait_for_end(stream: H2Stream) -> None:
    """What is not gRPC is answered when it is whole, within reason, as HTTP servers do it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TIME_TO_END):
            await stream.trailers_received.wait()


async def _show(stream: H2Stream, page: Page, with_body: bool) -> None:
    await stream.send_headers(page.headers, end_stream=not with_body)
    if with_body:
        try:
            await stream.send_data(page.body, end_stream=True)
        except StatusError as error:
            log.debug("a page is not shown: %s", error.message)
            if stream.closable:  # in the middle of the page it was reset already
                stream.reset_nowait(ErrorCodes.ENHANCE_YOUR_CALM)


async def _refuse(stream: H2Stream, refusal: RefusalError, subtype: str) -> None:
    await stream.send_headers(
        [
            (":status", str(refusal.http_status)),
            ("content-type", f"{GRPC_CONTENT_TYPE}+{subtype}"),
            ("grpc-status", str(refusal.status.value)),
            ("grpc-message", encode_grpc_message(refusal.message)),
            *refusal.headers,
        ],
        end_stream=True,
    )

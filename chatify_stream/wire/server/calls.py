"""Serve calls: one task for each call, from its headers to its end.

Rules: every call ends with trailers or a reset. Its stream is released when its task is done,
however it ended, also when the task was cancelled before its first step (CVE-2023-44487).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError

from ...errors import CallError, StatusError, UnavailableError
from ...limits import Limits
from ..connection.cancel_scope import CallScope
from ..connection.grpc_headers import RefusalError, Request, read_request
from ..connection.stream import CallStream
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    CodecBase,
    Headers,
    MethodHandler,
    StatusDetailsCodecBase,
    encode_grpc_message,
)
from ..http2.flood import FloodError
from ..token_bucket import TokenBucket
from .observers import Observers
from .stream import ServerStream

log = logging.getLogger(__name__)

FULL_CALLS = 128
"""The open calls of a connection may have the headers of 128 calls with the maximum size."""

REQUEST_TIMEOUT = 0.5
"""Seconds to wait for the end of a request that is not gRPC before it is answered."""

RESET = "RESET"
SHUTTING_DOWN = "the server is shutting down"
CLOSING = "the connection is closing; retry the call on a new connection"
TOO_OLD = "the connection has reached its maximum age; retry the call on a new connection"


PACED_STATUSES = (
    Status.PERMISSION_DENIED,
    Status.RESOURCE_EXHAUSTED,
    Status.UNAUTHENTICATED,
    Status.UNIMPLEMENTED,
)
"""The statuses of a refused call.

INVALID_ARGUMENT, NOT_FOUND and the like are answers; UNAVAILABLE is not the client's fault.
"""


@dataclass(frozen=True)
class Page:
    """The plain response to a GET request of a load balancer or a person."""

    text: str
    status: int = 200

    @property
    def body(self) -> bytes:
        return self.text.encode()

    @property
    def headers(self) -> Headers:
        return [
            (":status", str(self.status)),
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(self.body))),
        ]


Pages = Mapping[str, Callable[[], Page]]
"""By path, functions that make a page when it is requested."""


@dataclass(frozen=True)
class Services:
    """Shared by all connections of a server."""

    methods: Mapping[str, MethodHandler]
    codec: CodecBase
    status_details_codec: StatusDetailsCodecBase | None
    dispatch: Any
    """grpclib's dispatcher of events."""
    pages: Pages
    max_header_list_size: int
    is_accepting: Callable[[], bool]
    """Whether the server accepts connections; False while it shuts down."""
    observers: Observers = field(default_factory=Observers)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    """Number of calls that have ended by status, RESET (no status) and `HTTP 200` (page)."""


class _Outcome(NamedTuple):
    status: Status
    message: str | None = None
    details: Any = None


class RefusalPacing:
    """Slow a peer whose calls are refused one after the other.

    A refusal costs little, but the peer may repeat its call at once, without end. Above a rate the
    statuses of its refused calls are therefore sent later, at that rate. The connection is neither
    closed nor read more slowly: it may belong to a gateway or proxy with a thousand other users.
    Only the refused call waits. It stays open meanwhile, so a client that respects
    `max_concurrent_streams` cannot open more calls.

    Rules: each refused call counts, also one that the peer resets. A peer that waits for its
    answers never has more refusals pending than it may have open calls. A peer with more pending
    refusals does not wait, and is disconnected.
    """

    __slots__ = ("_bucket", "_max_pending", "_per_second")

    def __init__(self, limits: Limits, now: float) -> None:
        self._bucket = TokenBucket(limits.refusals, now)
        self._per_second = limits.refusals.per_second
        self._max_pending = limits.max_concurrent_streams

    def delay(self, now: float) -> float:
        """Count a refused call. Return the seconds until its status may be sent."""
        self._bucket.available(now)
        self._bucket.spend(1)
        return self._bucket.wait(now, 0)

    def is_exceeded(self, now: float) -> bool:
        """Return whether more refusals are pending than a peer that waits can have."""
        return self._bucket.wait(now, 0) * self._per_second > self._max_pending


class Calls:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._new: dict[CallStream, tuple[Headers, str | None]] = {}
        """Calls whose tasks have not begun, with the reason why each will be refused."""
        self._tasks: dict[CallStream, asyncio.Task[None]] = {}
        self._refusal: str | None = None
        self._ending: str | None = None
        self._pacing: RefusalPacing | None = None  # most connections need none
        self._header_bytes = 0

    def accept(self, stream: CallStream, headers: Headers) -> None:
        if self._pacing is not None and self._pacing.is_exceeded(_now()):
            stream.release()
            raise FloodError("too_many_refusals")
        # Begins at the end of the read, by which the call may have been reset (CVE-2023-44487).
        if not self._new:
            stream.connection.openings.append(self._begin)
        self._new[stream] = (headers, self._refusal)

    def _begin(self) -> bool:
        """Start the calls that the read has brought, some now and the rest later."""
        if not self._new:  # they were reset
            return True
        loop = asyncio.get_running_loop()
        first = next(iter(self._new))
        for stream in list(islice(self._new, first.connection.fair_share.quantum.calls)):
            headers, refusal = self._new.pop(stream)
            task = loop.create_task(self._serve(stream, headers, refusal), name="call")
            self._tasks[stream] = task
            self._services.calls.add(task)
            task.add_done_callback(_TaskDone(self, stream))
        if self._new:
            loop.call_soon(self._begin)
        return False

    def refuse_new_calls(self) -> None:
        reason = CLOSING if self._services.is_accepting() else SHUTTING_DOWN
        self._refusal = self._refusal or reason

    def cancel(self, stream: CallStream) -> None:
        task = self._tasks.get(stream)
        if task is not None:
            _cancel(stream, task)
        elif stream in self._new:
            self._drop(stream)

    def close(self) -> None:
        for stream in list(self._new):
            self._drop(stream)
        for stream, task in self._tasks.items():
            _cancel(stream, task)

    def end_calls(self) -> None:
        reason = TOO_OLD if self._services.is_accepting() else SHUTTING_DOWN
        self._ending = reason
        self._refusal = self._refusal or reason
        for stream in self._tasks:
            if stream.scope is not None:  # a call that has not begun is refused when it does
                stream.scope.cancel(UnavailableError(Status.UNAVAILABLE, reason))

    def _drop(self, stream: CallStream) -> None:
        """Forget a call that was reset before it began."""
        del self._new[stream]
        self._services.ended[RESET] += 1
        stream.release()

    def task_done(self, stream: CallStream, task: asyncio.Task[None]) -> None:
        """Reset the stream of a call that is over if it is still open, and release it."""
        if task.cancelled():
            self._services.ended[RESET] += 1
        del self._tasks[stream]
        self._services.calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call could not be ended", exc_info=error)
        if stream.closable:
            stream.reset(ErrorCodes.CANCEL if task.cancelled() else ErrorCodes.NO_ERROR)
        stream.release()

    async def _serve(self, call: CallStream, headers: Headers, refusal: str | None) -> None:
        services = self._services
        if (found := find_page(headers, services.pages)) is not None:
            page, with_body = found
            await _wait_for_end(call)
            await _show(call, page, with_body)
            services.ended[f"HTTP {page.status}"] += 1
            return
        request = self._read(headers, refusal)
        del headers  # which would be kept as long as the call
        if isinstance(request, RefusalError):
            await self._refuse(call, request)
            return
        method = services.methods[request.method]
        stream = ServerStream(
            call,
            method,
            request,
            codec=services.codec,
            status_details_codec=services.status_details_codec,
            dispatch=services.dispatch,
        )
        ends = services.observers.call_started(stream) if services.observers else ()
        size, content_type = request.header_list_size, request.content_type
        del request  # as the headers
        self._header_bytes += size
        try:
            outcome = await self._run(stream, call, method, content_type)
            if outcome.status in PACED_STATUSES:
                await self._pace(call)
            if not stream.is_ended:
                try:
                    await _end(stream, outcome)
                except H2ProtocolError as error:
                    log.debug("%s: the peer has left: %s", stream.method, error)
            services.ended[RESET if stream.sent_status is None else stream.sent_status.name] += 1
        finally:
            stream.release()
            self._header_bytes -= size
            Observers.call_ended(ends, stream.sent_status, stream.sent_status_message)

    def _read(self, headers: Headers, refusal: str | None) -> Request | RefusalError:
        """Return the request, or the reason to refuse it, without a reference to the headers."""
        services = self._services
        max_size = services.max_header_list_size
        try:
            subtype = services.codec.__content_subtype__
            request = read_request(headers, services.methods, subtype, max_size)
            if reason := refusal or self._ending:
                raise RefusalError(Status.UNAVAILABLE, reason)
            if self._header_bytes + request.header_list_size > FULL_CALLS * max_size:
                raise RefusalError(
                    Status.RESOURCE_EXHAUSTED,
                    f"the open calls of this connection have {self._header_bytes} bytes of "
                    f"headers; at most {FULL_CALLS * max_size} are allowed",
                )
        except RefusalError as error:
            return error.with_traceback(None)
        return request

    async def _refuse(self, call: CallStream, refusal: RefusalError) -> None:
        if refusal.http_status != 200:
            await _wait_for_end(call)
        if refusal.status is not Status.UNAVAILABLE:
            await self._pace(call)
        subtype = self._services.codec.__content_subtype__
        headers = [
            (":status", str(refusal.http_status)),
            ("content-type", f"{GRPC_CONTENT_TYPE}+{subtype}"),
            ("grpc-status", str(refusal.status.value)),
            ("grpc-message", encode_grpc_message(refusal.message)),
        ]
        await call.send_headers([*headers, *refusal.headers], end_stream=True)
        self._services.ended[refusal.status.name] += 1

    async def _pace(self, call: CallStream) -> None:
        """Wait until the status of a refused call may be sent."""
        now = _now()
        if self._pacing is None:
            self._pacing = RefusalPacing(call.connection.limits, now)
        delay = self._pacing.delay(now)
        if delay and self._refusal is None:
            call.inbox.drop()
            await asyncio.sleep(delay)

    async def _run(
        self, stream: ServerStream, call: CallStream, method: MethodHandler, content_type: str
    ) -> _Outcome:
        """Run the handler and return how the call ends. Raise only its own cancellation."""
        call.scope = scope = CallScope()
        try:
            with scope if stream.deadline is None else scope.until(stream.deadline):
                stream.metadata, handler = await self._services.dispatch.recv_request(
                    stream.metadata,
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
            deadline = stream.deadline
            if scope.cancelled or (deadline is not None and deadline.time_remaining() <= 0):
                return _Outcome(Status.DEADLINE_EXCEEDED, "the deadline of the call has passed")
            return _failed(stream.method)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return _failed(stream.method)  # of a future that the handler awaited
        except GeneratorExit:
            raise  # the task is being destroyed and must not await anything
        except BaseException:  # SystemExit would stop the event loop
            return _failed(stream.method)
        return _Outcome(Status.OK)


@dataclass(eq=False, slots=True)
class _TaskDone:
    """Callback for the end of a call's task; a `partial` would take four times the memory."""

    _calls: Calls
    _stream: CallStream

    def __call__(self, task: asyncio.Task[None]) -> None:
        self._calls.task_done(self._stream, task)


def _cancel(stream: CallStream, task: asyncio.Task[None]) -> None:
    """Cancel a task once: a handler that runs is cancelled by its scope."""
    if stream.scope is None or not stream.scope.is_entered:
        task.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _failed(method: str) -> _Outcome:
    # Only the log gets the text of the exception, which clients may not be allowed to see.
    log.exception("%s: the handler failed", method)
    return _Outcome(Status.INTERNAL, "the handler failed")


async def _end(stream: ServerStream, outcome: _Outcome) -> None:
    try:
        await stream.send_trailing_metadata(
            status=outcome.status, status_message=outcome.message, status_details=outcome.details
        )
        return
    except ProtocolError as error:  # a unary call that sent no message
        log.error("%s: %s", stream.method, error)
        message = "the handler sent no message"
    except (TypeError, ValueError) as error:
        log.error("%s: trailers cannot be sent: %s", stream.method, error)
        stream.trailers.clear()
        message = "the handler set trailers that cannot be sent"
    await stream.send_trailing_metadata(status=Status.INTERNAL, status_message=message)


def find_page(headers: Headers, pages: Pages) -> tuple[Page, bool] | None:
    """Return the requested page and whether to send its body (GET, not HEAD), or None."""
    fields = dict(headers)
    method = fields.get(":method")
    if method not in ("GET", "HEAD"):
        return None
    make = pages.get(fields.get(":path", "").partition("?")[0])
    return None if make is None else (make(), method == "GET")


async def _wait_for_end(call: CallStream) -> None:
    """Wait for the end of a request that is not gRPC, as HTTP servers do, for a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_TIMEOUT):
            await call.trailers_received.wait()


async def _show(call: CallStream, page: Page, with_body: bool) -> None:
    await call.send_headers(page.headers, end_stream=not with_body)
    if with_body:
        try:
            await call.send_data(page.body, end_stream=True)
        except StatusError as error:
            log.debug("a page could not be sent: %s", error.message)
            if call.closable:  # not if a part was sent: then it was reset
                call.reset(ErrorCodes.ENHANCE_YOUR_CALM)

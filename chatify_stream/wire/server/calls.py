"""The server's side of calls: one task a call, from its headers to its end.

Rules: every call ends with trailers or a reset, and its stream is released once its task is done,
whatever ended it - also a task that was cancelled before its first step (CVE-2023-44487).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError

from ...errors import CallError, StatusError, UnavailableError
from ..connection.cancel_scope import CallScope
from ..connection.grpc_headers import RefusalError, Request, read_request
from ..connection.stream import CallStream
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    AbstractHandler,
    CodecBase,
    DispatchServerEvents,
    H2Stream,
    Headers,
    Metadata,
    MethodHandler,
    StatusDetailsCodecBase,
    encode_grpc_message,
)
from ..http2.flood import FloodError
from .http_pages import Page, Pages, find_page
from .observers import Observers
from .refusal_pacing import REFUSED, Refusals
from .stream import ServerStream

__all__ = ["Calls", "Services"]

log = logging.getLogger(__name__)

FULL_CALLS = 128
"""The open calls of a connection have no more headers than so many that have all they may."""

TIME_TO_END = 0.5
"""Seconds that a client has to end a request that is not gRPC, before it is answered."""

RESET = "RESET"
SHUTTING_DOWN = "the server is shutting down"
CLOSING = "the connection is being closed: calls are to be made on a new one"
TOO_OLD = "the connection has reached its age: the call may be made on a new one"


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
        for stream in list(islice(self._new, first.connection.fair_share.quantum.calls)):
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
            stream.release()
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
                    f"headers; at most {FULL_CALLS * most} are allowed",
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
        h2_stream.wrapper = wrapper = CallScope()
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
    if stream.wrapper is None or not cast(CallScope, stream.wrapper).is_entered:
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

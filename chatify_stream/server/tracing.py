"""OpenTelemetry spans of calls and sampled messages. Needs the extra `tracing`.

The span of a call is in the client's trace, and current while the call is served. A message may
have a span for making its reply, or for its publication in a room.

Attributes follow OpenTelemetry's conventions for RPC; the names of our own begin with `chatify.`.
No attribute contains the text of a message or a token.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from .._version import __version__
from ..brokers import Broker
from ..wire import CallEnd, ServerObserver, ServerStream, Status
from .instrumented_broker import InstrumentedBroker
from .reply_handler import Reply
from .rooms import RoomObserver
from .rooms.hooks import JoinedSession
from .session import peer_of
from .telemetry import TracingOptions

SERVER_ERRORS = {
    Status.UNKNOWN,
    Status.DEADLINE_EXCEEDED,
    Status.UNIMPLEMENTED,
    Status.INTERNAL,
    Status.UNAVAILABLE,
    Status.DATA_LOSS,
}
"""Statuses that mark a span as an error. The client is to blame for the others."""

T = TypeVar("T")


class Tracing(ServerObserver, RoomObserver):
    """Makes a span for each call, and decides at random whether a message gets one."""

    def __init__(
        self, options: TracingOptions, *, draw: Callable[[], float] = random.random
    ) -> None:
        """`draw` returns random numbers from 0 to 1."""
        self._tracer = trace.get_tracer("chatify_stream", __version__, options.tracer_provider)
        self._ratio = options.message_sampling
        self._draw = draw

    def call_started(self, stream: ServerStream) -> CallEnd:
        path = stream.method
        _, service, method = path.split("/")
        peer = peer_of(stream)
        attributes: dict[str, str | int] = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
        }
        if peer.host:
            attributes |= {"network.peer.address": peer.host, "network.peer.port": peer.port}
        context = propagate.extract(stream.metadata or {})
        span = self._tracer.start_span(
            path[1:], context=context, kind=SpanKind.SERVER, attributes=attributes
        )
        token = contexts.attach(trace.set_span_in_context(span, context))

        def call_ended(status: Status | None, message: str | None) -> None:
            contexts.detach(token)
            counts = stream.statistics()
            attributes: dict[str, str | int] = {
                "chatify.messages_received": counts.messages_received,
                "chatify.messages_sent": counts.messages_sent,
            }
            attributes |= {f"chatify.{key}": value for key, value in stream.log_fields.items()}
            span.add_event("ended", attributes)
            code = status or Status.CANCELLED
            span.set_attribute("rpc.grpc.status_code", code.value)
            if code in SERVER_ERRORS:
                span.set_status(StatusCode.ERROR, message or code.name)
            span.end()

        return call_ended

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        attributes: dict[str, str | bool] = {
            "chatify.room": session.room,
            "chatify.user": session.user,
            "chatify.session": session.session_id,
        }
        if recovered is not None:
            attributes["chatify.recovered"] = recovered
        trace.get_current_span().add_event("joined", attributes)

    def reply(self, reply: Reply) -> Reply:
        """Return the function to use in place of `reply`, so that its calls get spans."""
        if not self._ratio:
            return reply

        def answer(name: str) -> str | Awaitable[str]:
            if self._draw() >= self._ratio:
                return reply(name)
            span = self._tracer.start_span("reply")
            with _within(span):
                made = reply(name)
            if inspect.isawaitable(made):
                return _awaited(span, made)
            span.end()
            return made

        return answer

    def instrument(self, broker: Broker) -> Broker:
        """Return the broker to use in place of `broker`, so that publishing gets spans."""
        return InstrumentedBroker(broker, self._trace) if self._ratio else broker

    async def _trace(self, call: str, room: str, calling: Awaitable[T], /) -> T:
        if call != "publish" or self._draw() >= self._ratio:
            return await calling
        span = self._tracer.start_span(
            "publish", kind=SpanKind.PRODUCER, attributes={"chatify.room": room}
        )
        return await _awaited(span, calling)


async def _awaited(span: Span, calling: Awaitable[T]) -> T:
    with _within(span):
        result = await calling
    span.end()
    return result


@contextmanager
def _within(span: Span) -> Iterator[None]:
    """Make the span current. If an exception leaves the block, end the span with its class name.

    The text of the exception is left out, because it may contain the text of the message.
    """
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()
        raise

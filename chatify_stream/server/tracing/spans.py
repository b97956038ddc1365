"""A span for each call, in the client's trace, and current while the call is served.

Attributes follow OpenTelemetry's conventions for RPC; the names of our own begin with `chatify.`.
No attribute contains the text of a message or a token.
"""

from __future__ import annotations

from contextvars import Token
from functools import partial

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode

from ...wire import CallEnd, ServerObserver, ServerStream, Status
from ..rooms import RoomObserver
from ..rooms.hooks import JoinedSession
from ..session import peer_of

__all__ = ["CallSpans"]

SERVER_ERRORS = frozenset(
    {
        Status.UNKNOWN,
        Status.DEADLINE_EXCEEDED,
        Status.UNIMPLEMENTED,
        Status.INTERNAL,
        Status.UNAVAILABLE,
        Status.DATA_LOSS,
    }
)
"""Statuses that mark a span as an error. The client is to blame for the others."""


class CallSpans(ServerObserver, RoomObserver):
    """Starts and ends the spans of calls."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

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
        return partial(_ended, span, token, stream)

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        attributes: dict[str, str | bool] = {
            "chatify.room": session.room,
            "chatify.user": session.user,
            "chatify.session": session.session_id,
        }
        if recovered is not None:
            attributes["chatify.recovered"] = recovered
        trace.get_current_span().add_event("joined", attributes)


def _ended(
    span: Span,
    token: Token[Context],
    stream: ServerStream,
    status: Status | None,
    message: str | None,
) -> None:
    contexts.detach(token)
    counts = stream.statistics()
    span.add_event(
        "ended",
        {
            "chatify.messages_received": counts.messages_received,
            "chatify.messages_sent": counts.messages_sent,
            **{f"chatify.{key}": value for key, value in stream.log_fields.items()},
        },
    )
    code = status or Status.CANCELLED
    span.set_attribute("rpc.grpc.status_code", code.value)
    if code in SERVER_ERRORS:
        span.set_status(StatusCode.ERROR, message or code.name)
    span.end()

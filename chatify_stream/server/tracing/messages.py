"""Spans of messages, for so many as are asked for: making a reply, and publishing."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, use_span

from ...brokers import Broker
from ..instrumented_broker import WatchedBroker
from ..reply_handler import Reply

__all__ = ["MessageSpans"]

T = TypeVar("T")


class MessageSpans:
    """Draws for each message whether it has a span."""

    def __init__(
        self, tracer: Tracer, ratio: float, *, draw: Callable[[], float] = random.random
    ) -> None:
        """`ratio` of them have one."""
        self._tracer = tracer
        self._ratio = ratio
        self._draw = draw

    def reply(self, reply: Reply) -> Reply:
        """`reply`, to be used so that its calls have spans."""

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

    def watched(self, broker: Broker) -> Broker:
        """The broker, to be used so that publishing has spans."""
        return WatchedBroker(broker, self._watch)

    async def _watch(self, call: str, room: str, calling: Awaitable[T], /) -> T:
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
    """Makes the span current; one that is left by an error is ended, with the error's class alone.

    What an error says may be what a message says.
    """
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()
        raise

"""Spans of sampled messages: one for making a reply, one for publishing to a room."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, use_span

from ...brokers import Broker
from ..instrumented_broker import InstrumentedBroker
from ..reply_handler import Reply

__all__ = ["MessageSpans"]

T = TypeVar("T")


class MessageSpans:
    """Decides at random, for each message, whether it gets a span."""

    def __init__(
        self, tracer: Tracer, ratio: float, *, draw: Callable[[], float] = random.random
    ) -> None:
        """`ratio` of the messages get a span; `draw` returns random numbers from 0 to 1."""
        self._tracer = tracer
        self._ratio = ratio
        self._draw = draw

    def reply(self, reply: Reply) -> Reply:
        """Return the function to use in place of `reply`, so that its calls get spans."""

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
        return InstrumentedBroker(broker, self._trace)

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
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)
        span.end()
        raise

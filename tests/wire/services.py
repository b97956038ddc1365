"""A small echo service for the tests of wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest as Ask
from chatify_stream.messages.grpc.reflection.v1 import ServiceResponse as Answer
from chatify_stream.wire import Cardinality, MethodHandler, ServerStream

__all__ = ["Answer", "Ask", "Echo", "Handler"]

Handler = Callable[[ServerStream], Awaitable[None]]


async def echo(stream: ServerStream) -> None:
    async for request in stream:
        await stream.send_message(Answer(name=request.service))


class Echo:
    """`/test.Echo/Echo` echoes each message. The others run `handler`."""

    def __init__(self, handler: Handler = echo) -> None:
        self.handler = handler
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def _run(self, stream: ServerStream) -> None:
        self.started.set()
        try:
            await self.handler(stream)
        finally:
            self.ended.set()

    def __mapping__(self) -> dict[str, MethodHandler]:
        def method(handler: Handler, cardinality: Cardinality) -> MethodHandler:
            return MethodHandler(handler, cardinality, Ask, Answer)

        return {
            "/test.Echo/Echo": method(echo, Cardinality.STREAM_STREAM),
            "/test.Echo/Run": method(self._run, Cardinality.STREAM_STREAM),
            "/test.Echo/One": method(self._run, Cardinality.UNARY_UNARY),
        }

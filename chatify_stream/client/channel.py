"""The channel of the Chat clients: wire's channel with the codec of Chat's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import wire
from ..codec import ChatCodec
from ..errors import UsageError
from ..wire import ClientStream, MetadataLike
from .call_metadata import items_of

CHAT_PATH = "/service.v1.Service/Chat"

CLOSE_TIMEOUT = 5.0
"""Seconds that leaving a client waits for the server to end the call."""


class Channel(wire.Channel):
    __doc__ = wire.Channel.__doc__

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        tracing: bool = False,
        **options: Any,
    ) -> None:
        """Create a channel as `chatify_stream.wire.Channel` does, with one more option.

        `tracing` sends the context of the current span, as W3C `traceparent`, with each call.
        Raises `UsageError` if OpenTelemetry is not installed; it is in the extra `tracing`.
        """
        options.setdefault("codec", ChatCodec())
        super().__init__(host, port, **options)
        self._trace_context = load_trace_context() if tracing else None

    def request(  # type: ignore[override]
        self, *args: Any, metadata: MetadataLike | None = None, **options: Any
    ) -> ClientStream:
        if self._trace_context is not None:
            metadata = [*items_of(metadata), *self._trace_context().items()]
        return super().request(*args, metadata=metadata, **options)


def load_trace_context() -> Callable[[], dict[str, str]]:
    """Return a function that returns the metadata of the current span.

    Raises `UsageError` if OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import propagate
    except ModuleNotFoundError as error:
        raise UsageError(
            "tracing=True requires opentelemetry; run pip install 'chatify-stream[tracing]'"
        ) from error

    def trace_context() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    return trace_context

"""The tracing of one server, put together."""

from __future__ import annotations

from opentelemetry.trace import get_tracer

from ..._version import __version__
from ...brokers import Broker
from ..reply_handler import Reply
from .messages import MessageSpans
from .options import TracingOptions
from .spans import CallSpans

__all__ = ["Tracing"]


class Tracing:
    """Spans of all calls, and of so many messages as are asked for."""

    def __init__(self, options: TracingOptions) -> None:
        tracer = get_tracer("chatify_stream", __version__, options.tracer_provider)
        self.calls = CallSpans(tracer)
        """Is to observe the calls and the rooms."""
        ratio = options.message_sampling
        self._messages = MessageSpans(tracer, ratio) if ratio else None

    def reply(self, reply: Reply) -> Reply:
        """The function to use for `reply`."""
        return reply if self._messages is None else self._messages.reply(reply)

    def watched(self, broker: Broker) -> Broker:
        """The broker to use for `broker`."""
        return broker if self._messages is None else self._messages.watched(broker)

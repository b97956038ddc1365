"""The tracing of one server: its options, and its assembly from the other modules here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._version import __version__
from ...brokers import Broker
from ...errors import UsageError
from ..reply_handler import Reply

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["Tracing", "TracingOptions"]


@dataclass(frozen=True)
class TracingOptions:
    """The options of tracing. Raises `UsageError` for a ratio that is not from 0 to 1."""

    message_sampling: float = 0.0
    """The ratio of messages that get a span within the span of their call, from 0 to 1.

    The span of a message covers the work of `reply`, or the publication of what a session sent to
    a room at once. Every call gets a span; the sampler of OpenTelemetry decides whether it is
    recorded.
    """

    tracer_provider: TracerProvider | None = None
    """Receives the spans; None stands for the global tracer provider."""

    def __post_init__(self) -> None:
        ratio: object = self.message_sampling
        if not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise UsageError(f"message_sampling must be a number from 0 to 1, not {ratio!r}")


class Tracing:
    """Makes spans of all calls, and of the sampled messages."""

    def __init__(self, options: TracingOptions) -> None:
        """Import OpenTelemetry's API. Raises `ModuleNotFoundError` if it is not installed."""
        from opentelemetry.trace import get_tracer

        from .messages import MessageSpans
        from .spans import CallSpans

        tracer = get_tracer("chatify_stream", __version__, options.tracer_provider)
        self.calls = CallSpans(tracer)
        """Observes the calls and the rooms."""
        ratio = options.message_sampling
        self._messages = MessageSpans(tracer, ratio) if ratio else None

    def reply(self, reply: Reply) -> Reply:
        """Return the function to use in place of `reply`."""
        return reply if self._messages is None else self._messages.reply(reply)

    def instrument(self, broker: Broker) -> Broker:
        """Return the broker to use in place of `broker`."""
        return broker if self._messages is None else self._messages.instrument(broker)

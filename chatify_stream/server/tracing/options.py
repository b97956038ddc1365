"""How tracing is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["TracingOptions"]


@dataclass(frozen=True)
class TracingOptions:
    """What becomes a span. Raises `UsageError`."""

    message_sampling: float = 0.0
    """The part of the messages, from 0 to 1, that have a span within that of their call.

    That is the work of `reply` for one message, or publishing what a session sent to a room at
    once. Every call has its span; which of those are recorded is for the sampler of OpenTelemetry.
    """

    tracer_provider: TracerProvider | None = None
    """Where spans go; None for the one that is set globally."""

    def __post_init__(self) -> None:
        ratio: object = self.message_sampling
        if not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise UsageError(f"message_sampling is a number from 0 to 1, not {ratio!r}")

"""Names the trace that a call belongs to, for servers that trace as well."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UsageError

__all__ = ["load_trace_context"]


def load_trace_context() -> Callable[[], dict[str, str]]:
    """A function for the metadata that names the span that is current: W3C's `traceparent`, say.

    Raises `UsageError` where OpenTelemetry is missing.
    """
    try:
        from opentelemetry import propagate
    except ModuleNotFoundError as error:
        raise UsageError(
            "tracing needs opentelemetry: pip install 'chatify-stream[tracing]'"
        ) from error

    def trace_context() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    return trace_context

"""`[tracing]`: spans of OpenTelemetry."""

from __future__ import annotations

from ....config import TracingSettings
from ....server.telemetry import TracingOptions

__all__ = ["tracing_of"]


def tracing_of(settings: TracingSettings) -> TracingOptions | bool:
    """The settings as the server takes them; False when tracing is turned off."""
    return settings.enabled and TracingOptions(message_sampling=settings.message_sampling)

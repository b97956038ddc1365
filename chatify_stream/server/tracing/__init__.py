"""OpenTelemetry spans of calls and messages. Needs the extra `tracing`."""

from __future__ import annotations

from .options import Tracing, TracingOptions

__all__ = ["Tracing", "TracingOptions"]

"""Spans of OpenTelemetry: of calls, with what happens in them, and of messages."""

from __future__ import annotations

from .loading import load_tracing
from .options import TracingOptions

__all__ = ["TracingOptions", "load_tracing"]

"""Loads the tracing, which needs OpenTelemetry's API, only where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..extras import needing
from .options import TracingOptions

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["load_tracing"]


def load_tracing(options: TracingOptions) -> Tracing:
    """As `Tracing`. Raises `UsageError` where the extra is missing."""
    with needing("tracing"):
        from .tracing import Tracing
    return Tracing(options)

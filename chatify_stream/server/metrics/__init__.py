"""What the server counts, for Prometheus."""

from __future__ import annotations

from .loading import load_metrics
from .options import MetricsOptions, Sources

__all__ = ["MetricsOptions", "Sources", "load_metrics"]

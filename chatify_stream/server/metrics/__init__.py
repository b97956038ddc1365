"""Metrics of a server, for Prometheus. Needs the extra `metrics`."""

from __future__ import annotations

from .options import MetricsOptions, MetricsSource

__all__ = ["MetricsOptions", "MetricsSource"]

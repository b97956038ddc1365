"""Loads the metrics, which need prometheus_client, only where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..extras import needing
from .options import MetricsOptions

if TYPE_CHECKING:
    from .metrics import Metrics

__all__ = ["load_metrics"]


def load_metrics(options: MetricsOptions, chat_paths: Sequence[str]) -> Metrics:
    """As `Metrics`. Raises `UsageError` where the extra is missing."""
    with needing("metrics"):
        from .metrics import Metrics
    return Metrics(options, chat_paths)

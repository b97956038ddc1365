"""`[metrics]`: where Prometheus asks for them."""

from __future__ import annotations

from ....config import MetricsSettings
from ....server.telemetry import MetricsOptions

__all__ = ["metrics_of"]


def metrics_of(settings: MetricsSettings) -> MetricsOptions | None:
    """The settings as the server takes them; None when metrics are turned off."""
    return None if settings.port is None else MetricsOptions(settings.port, settings.host)

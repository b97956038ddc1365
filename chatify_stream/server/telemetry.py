"""The options of metrics and tracing. Importing them needs no extra of the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..address import check_host
from ..errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True)
class MetricsOptions:
    """The options of metrics: a port, a registry, or both.

    Raises `UsageError` if there is neither, and for a wrong port or host.
    """

    port: int | None = None
    """Serve `GET /metrics` and `GET /healthz` over HTTP/1.1 on this port; 0 for a free port."""

    host: str = "127.0.0.1"
    """The address on which the port listens. Requests to it are not authenticated."""

    registry: CollectorRegistry | None = None
    """Register the metrics in this registry of prometheus_client while the server runs.

    The port then serves everything in that registry. By default it serves a registry of the
    server's own, which also has prometheus_client's metrics of the process, of Python and of its
    garbage collector.
    """

    def __post_init__(self) -> None:
        if self.port is None and self.registry is None:
            raise UsageError("metrics need a destination; pass port= or registry=")
        if self.port is not None and (type(self.port) is not int or not 0 <= self.port <= 65535):
            raise UsageError(f"metrics port must be a number from 0 to 65535, not {self.port!r}")
        try:
            check_host(self.host)
        except ValueError as error:
            raise UsageError(f"metrics host {self.host!r}: {error}") from None


@dataclass(frozen=True)
class TracingOptions:
    """The options of tracing. Raises `UsageError` for a ratio that is not from 0 to 1."""

    message_sampling: float = 0.0
    """The ratio of messages that get a span within the span of their call, from 0 to 1.

    The span of a message covers the work of `reply`, or the publication of what a session sent to
    a room at once. Every call gets a span; the sampler of OpenTelemetry decides whether it is
    recorded.
    """

    tracer_provider: TracerProvider | None = None
    """Receives the spans; None stands for the global tracer provider."""

    def __post_init__(self) -> None:
        ratio: object = self.message_sampling
        if not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise UsageError(f"message_sampling must be a number from 0 to 1, not {ratio!r}")

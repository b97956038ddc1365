"""The options of the metrics, and the state of a server that they report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...address import check_host
from ...errors import UsageError
from ...wire import ServerStatistics
from ..load_monitor import LoadMonitor
from ..rooms import Node

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["MetricsOptions", "MetricsSource"]


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


class MetricsSource(Protocol):
    """The state of a server. It is read in the event loop each time metrics are collected."""

    @property
    def node(self) -> Node | None:
        """The rooms; None if they are turned off."""

    @property
    def monitor(self) -> LoadMonitor:
        """Measures the lag of the event loop."""

    def server_statistics(self) -> Sequence[ServerStatistics]:
        """Return the statistics of the server of each port."""

    def usage_refusals(self) -> Mapping[str, int]:
        """Return how often each limit of use rejected a call."""

    def certificate_expiry(self) -> float | None:
        """Return when the certificate expires, in seconds since 1970; None without TLS."""

    def status(self) -> str:
        """Return the status of the server's health, SERVING if all is well. Any thread calls it."""

"""How the metrics of a server are set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...address import check_host
from ...errors import UsageError
from ...wire import ServerStatistics
from ..rooms import Node

__all__ = ["MetricsOptions", "Sources"]


@dataclass(frozen=True)
class Sources:
    """Asked anew each time, in the event loop; `status` in any thread."""

    servers: Callable[[], Sequence[ServerStatistics]]
    """Of each port."""

    node: Node | None
    """None where there are no rooms."""

    uses_refused: Callable[[], Mapping[str, int]]
    """By the limits of use."""

    certificate_end: Callable[[], float | None]
    """When the certificate ends, in seconds since 1970; None without TLS."""

    status: Callable[[], str]
    """That of the server's health: SERVING where all is well."""


if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True)
class MetricsOptions:
    """Where metrics are to be had: at a port, in a registry, or both. Raises `UsageError`."""

    port: int | None = None
    """Serve `GET /metrics` and `GET /healthz` over HTTP/1.1 on this port, 0 for a free one."""

    host: str = "127.0.0.1"
    """Where that port listens; it asks nobody who they are."""

    registry: CollectorRegistry | None = None
    """Put them into this registry of prometheus_client while the server runs.

    The port then serves all of that registry. By default it is one of the server's own, with what
    prometheus_client knows of the process, of Python and its garbage collector.
    """

    def __post_init__(self) -> None:
        if self.port is None and self.registry is None:
            raise UsageError("metrics go to a port= or into a registry=, so pass one of them")
        if self.port is not None and (type(self.port) is not int or not 0 <= self.port <= 65535):
            raise UsageError(f"the port of the metrics is a number up to 65535, not {self.port!r}")
        try:
            check_host(self.host)
        except ValueError as error:
            raise UsageError(f"the host of the metrics, {self.host!r}: {error}") from None

"""Report the health of a server: of its services, and of the broker of its rooms."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from ..server.load_monitor import LoadMonitor, Sample
from ..server.rooms import Node
from ..server.services.health import HealthService, ServingStatus
from ..wire import Page
from ..wire.server.http_pages import Pages
from .parts import Part

__all__ = ["ROOMS_READINESS", "BrokerHealth", "health_pages", "health_part"]

log = logging.getLogger(__name__)

ROOMS_READINESS = "service.v1.Service/rooms"
"""The name under which health reports whether the broker of the rooms is available."""


def health_part(health: HealthService, services: Iterable[str]) -> Part:
    """Return the part that reports SERVING for the server and its services while it runs."""

    def start() -> None:
        for name in ("", *services):
            health.set_status(name, ServingStatus.SERVING)

    return Part(start, health.shut_down)


def health_pages(health: HealthService) -> Pages:
    """Return the pages for load balancers that do not speak gRPC, by their paths."""

    def page(*names: str) -> Page:
        found = (health.status(name) for name in names)
        status = next(filter(None, found), ServingStatus.UNKNOWN)
        return Page(f"{status.name}\n", 200 if status is ServingStatus.SERVING else 503)

    return {"/healthz": partial(page, ""), "/readyz": partial(page, ROOMS_READINESS, "")}


class BrokerHealth:
    """Reports whether the broker is available: at the start, and when that changes.

    A broker in memory is always available, so it is not asked again.
    """

    def __init__(self, node: Node, monitor: LoadMonitor, health: HealthService) -> None:
        self._node = node
        self._monitor = monitor
        self._health = health
        self._was_available: bool | None = None

    def start(self) -> None:
        """Report the health of the broker, which is open, from now on."""
        self.check()
        if self._node.options.broker != "memory://":
            self._monitor.listeners.append(self._on_sample)

    def close(self) -> None:
        """Stop reporting."""
        if self._on_sample in self._monitor.listeners:
            self._monitor.listeners.remove(self._on_sample)

    def check(self) -> None:
        """Report and log the health of the broker if it has changed."""
        is_available = self._node.broker.is_available
        if is_available is self._was_available:
            return
        if not is_available:
            log.warning("broker unavailable: messages in rooms are delayed or rejected")
        elif self._was_available is not None:
            log.info("broker available again")
        self._was_available = is_available
        status = ServingStatus.SERVING if is_available else ServingStatus.NOT_SERVING
        self._health.set_status(ROOMS_READINESS, status)

    def _on_sample(self, _: Sample) -> None:
        self.check()

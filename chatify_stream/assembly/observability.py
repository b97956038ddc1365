"""Trace, count and log what a server does, and report its health."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ..brokers import Broker
from ..errors import UsageError
from ..server.interceptors.access_log import AccessLog
from ..server.load_monitor import LoadMonitor, Sample
from ..server.reply_handler import Reply, reply_handler
from ..server.rooms import Node, RoomOptions
from ..server.services.chat import Handler
from ..server.services.health import HealthService, ServingStatus
from ..server.session import Interceptor
from ..server.telemetry import MetricsOptions, TracingOptions
from ..wire import Page, ServerObserver
from ..wire.server.calls import Pages
from .parts import Part

if TYPE_CHECKING:
    from ..server.metrics.metrics import Metrics
    from ..server.tracing import Tracing

log = logging.getLogger(__name__)

ROOMS_READINESS = "service.v1.Service/rooms"
"""The name under which health reports whether the broker of the rooms is available."""


class Observability:
    """The tracing, the metrics and the access log of one server, as far as they are wanted."""

    def __init__(
        self,
        chat_paths: Sequence[str],
        *,
        access_log: bool,
        metrics: MetricsOptions | None,
        tracing: TracingOptions | None,
    ) -> None:
        """Load them. Raises `UsageError` if an extra is not installed."""
        self.metrics: Metrics | None = None
        self._tracing: Tracing | None = None
        if metrics is not None:
            with _require_extra("metrics"):
                from ..server.metrics.metrics import Metrics
            self.metrics = Metrics(metrics, chat_paths)
        if tracing is not None:
            with _require_extra("tracing"):
                from ..server.tracing import Tracing
            self._tracing = Tracing(tracing)
        self._access_log = AccessLog() if access_log else None

    @property
    def interceptor(self) -> Interceptor | None:
        """The innermost interceptor: a call that others have rejected opens no session."""
        return None if self._access_log is None else self._access_log.intercept

    def observers(self, others: Sequence[ServerObserver]) -> list[ServerObserver]:
        """Return the observers of connections and calls, with `others` in their place."""
        observers: list[ServerObserver | None] = [
            self._tracing,  # the others run in its spans
            None if self.metrics is None else self.metrics.calls,
            *others,
            self._access_log,
        ]
        return [observer for observer in observers if observer is not None]

    def reply_handler(self, reply: Reply) -> Handler:
        if self._tracing is None:
            return reply_handler(reply)
        return reply_handler(self._tracing.reply(reply), in_context=True)

    def make_node(self, options: RoomOptions, monitor: LoadMonitor) -> Node:
        """Return the rooms of the server. The calls of their broker are traced and timed."""
        observers = [] if self._tracing is None else [self._tracing]
        return Node(options, instrument=self._instrument, observers=observers, monitor=monitor)

    def _instrument(self, broker: Broker) -> Broker:
        if self._tracing is not None:
            broker = self._tracing.instrument(broker)
        return broker if self.metrics is None else self.metrics.instrument(broker)


@contextmanager
def _require_extra(extra: str) -> Iterator[None]:
    """Raise `UsageError`, which names the extra to install, if an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise UsageError(
            f"{extra} needs {package}; install it: pip install 'chatify-stream[{extra}]'"
        ) from error


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
        self._check()
        if self._node.options.broker != "memory://":
            self._monitor.listeners.append(self._check)

    def close(self) -> None:
        if self._check in self._monitor.listeners:
            self._monitor.listeners.remove(self._check)

    def _check(self, _: Sample | None = None) -> None:
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

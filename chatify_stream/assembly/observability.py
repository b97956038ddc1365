"""Trace, count and log what a server does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..brokers import Broker
from ..server.extras import load_metrics, load_tracing
from ..server.interceptors.access_log import AccessLog
from ..server.interceptors.chain import Interceptor
from ..server.load_monitor import LoadMonitor
from ..server.metrics import MetricsOptions
from ..server.reply_handler import Reply, reply_handler
from ..server.rooms import Node, RoomObserver
from ..server.services.chat import Handler
from ..server.services.health import HealthService, ServingStatus
from ..server.tls import ServerTLS
from ..server.tracing import TracingOptions
from ..server.usage import UsageControl
from ..wire import ServerObserver, ServerStatistics
from .listener import Listener

__all__ = ["Observability", "ServerState"]


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
        self.metrics = None if metrics is None else load_metrics(metrics, chat_paths)
        self._tracing = None if tracing is None else load_tracing(tracing)
        self._access_log = AccessLog() if access_log else None

    @property
    def interceptors(self) -> list[Interceptor]:
        """The innermost interceptors: a call that others have rejected opens no session."""
        return [] if self._access_log is None else [self._access_log.intercept]

    @property
    def room_observers(self) -> list[RoomObserver]:
        return [] if self._tracing is None else [self._tracing.calls]

    def observers(self, others: Sequence[ServerObserver]) -> list[ServerObserver]:
        """Return the observers of connections and calls, with `others` in their place."""
        observers: list[ServerObserver | None] = [
            None if self._tracing is None else self._tracing.calls,  # the others run in its spans
            None if self.metrics is None else self.metrics.observer,
            *others,
            self._access_log,
        ]
        return [observer for observer in observers if observer is not None]

    def reply_handler(self, reply: Reply) -> Handler:
        """Return the handler that answers each message by `reply`."""
        if self._tracing is None:
            return reply_handler(reply)
        return reply_handler(self._tracing.reply(reply), in_context=True)

    def instrument(self, broker: Broker) -> Broker:
        """Return the broker to use in place of `broker`: its calls are traced and timed."""
        if self._tracing is not None:
            broker = self._tracing.instrument(broker)
        return broker if self.metrics is None else self.metrics.instrument(broker)


@dataclass(frozen=True)
class ServerState:
    """What the metrics report of a running server; see `MetricsSource`."""

    listeners: Sequence[Listener]
    node: Node | None
    usage: UsageControl
    tls: ServerTLS | None
    health: HealthService
    monitor: LoadMonitor

    def server_statistics(self) -> list[ServerStatistics]:
        return [listener.server.statistics() for listener in self.listeners]

    def usage_refusals(self) -> Mapping[str, int]:
        return self.usage.statistics().refused

    def certificate_expiry(self) -> float | None:
        return None if self.tls is None else self.tls.expires_at

    def status(self) -> str:
        return (self.health.status() or ServingStatus.UNKNOWN).name or ""

"""The metrics of one server, assembled from the other modules here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from ...brokers import Broker
from ...errors import UsageError
from ...wire import Server
from ..instrumented_broker import InstrumentedBroker
from ..interceptors.usage import UsageControl
from ..load_monitor import LoadMonitor, Sample
from ..rooms import Node, RoomStatistics
from ..services.health import HealthService, ServingStatus
from ..telemetry import MetricsOptions
from ..tls import ServerTLS
from . import families
from .counts import LAG_BOUNDS, BrokerTimes, CallCounts, Histogram
from .exporter import Endpoint, LoopCollector

NO_ROOMS = RoomStatistics(0, 0, 0, {}, 0, 0, {}, 0)


class Metrics:
    """Counts from its creation, and exports the metrics from `start` to `close`."""

    def __init__(self, options: MetricsOptions, chat_paths: Sequence[str]) -> None:
        """The calls of `chat_paths` are counted as sessions."""
        self.calls = CallCounts()
        """Observes the calls; needs to know the methods that are served."""
        self._options = options
        self._chat_paths = tuple(chat_paths)
        self._broker_times = BrokerTimes()
        self._lag = Histogram(LAG_BOUNDS)
        self._exported = ExitStack()
        self._endpoint: Endpoint | None = None

    def instrument(self, broker: Broker) -> Broker:
        """Return the broker to use in place of `broker`, so that its calls are measured."""
        return InstrumentedBroker(broker, self._broker_times.measure)

    @property
    def port(self) -> int:
        """The port of the metrics. Raises `UsageError` if there is none now."""
        if self._endpoint is None:
            raise UsageError(
                "the metrics have no port; pass MetricsOptions(port=...) and start the server"
            )
        return self._endpoint.port

    async def start(
        self,
        *,
        servers: Sequence[Server],
        node: Node | None,
        usage: UsageControl,
        tls: ServerTLS | None,
        health: HealthService,
        monitor: LoadMonitor,
        reuse_port: bool = False,
    ) -> None:
        """Export the metrics of these parts: register them, and listen on the port.

        `servers` are those of all ports. With `reuse_port`, other processes may listen on the port
        of the metrics too. Raises `ListenError`, and `UsageError` if the registry has metrics of
        these names already. After an error nothing is exported.
        """
        options, registry = self._options, self._options.registry
        if registry is None:
            registry = CollectorRegistry()
            for each in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
                registry.register(each)
        collector = LoopCollector(
            lambda: list(families.metric_families(self._values(servers, node, usage, tls))),
            lambda: monitor.current_lag,
        )
        try:
            registry.register(collector)
        except ValueError as error:
            raise UsageError(
                "the registry already has metrics of these names, such as those of another "
                "ChatServer; pass each server a registry of its own"
            ) from error
        self._exported.callback(registry.unregister, collector)
        monitor.listeners.append(self._on_sample)
        self._exported.callback(monitor.listeners.remove, self._on_sample)
        if options.port is None:
            return

        def server_health() -> tuple[bool, str]:
            if not collector.is_loop_alive():
                return False, "STALLED"
            status = health.status() or ServingStatus.UNKNOWN
            return status is ServingStatus.SERVING, status.name or ""

        try:
            self._endpoint = Endpoint(
                options.host, options.port, registry, server_health, reuse_port=reuse_port
            )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop exporting, without waiting for open requests. May be called again."""
        self._exported.close()
        if self._endpoint is not None:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.close()

    def _on_sample(self, sample: Sample) -> None:
        self._lag.observe(sample.lag)

    def _values(
        self,
        servers: Sequence[Server],
        node: Node | None,
        usage: UsageControl,
        tls: ServerTLS | None,
    ) -> families.Values:
        statistics = [server.statistics() for server in servers]
        rooms = NO_ROOMS if node is None else node.statistics()
        direct = self.calls.open_calls(self._chat_paths) - rooms.sessions
        is_available = None if node is None else node.broker.is_available
        expires_at: object = {} if tls is None else tls.expires_at
        hits = families.limit_hits(
            families.add_up(each.connections_refused_by for each in statistics),
            families.ended_connections(statistics),
            rooms.sessions_ended,
            usage.statistics().refused,
        )
        return {
            **families.call_values(self.calls),
            **families.server_values(statistics),
            **families.room_values(direct, rooms),
            **families.broker_values(self._broker_times, is_available),
            "chatify_limit_hits": hits,
            "chatify_tls_certificate_expiry_timestamp_seconds": expires_at,
            "chatify_event_loop_lag_seconds": self._lag,
        }

"""The metrics of one server, assembled from the other modules here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Metric,
)

from ...brokers import Broker
from ...errors import UsageError
from ...wire import MethodHandler, ServerObserver
from ..instrumented_broker import InstrumentedBroker
from ..load_monitor import LoadMonitor, Sample
from ..rooms import RoomStatistics
from .call_counts import CallCounts
from .collector import LoopCollector
from .endpoint import Endpoint
from .families import (
    broker_families,
    call_families,
    ended_connections,
    lag_families,
    limit_families,
    limit_hits,
    refused_connections,
    room_families,
    server_families,
    tls_families,
)
from .options import MetricsOptions, MetricsSource
from .timings import LAG_BOUNDS, BrokerTimes, Histogram

__all__ = ["Metrics"]

NO_ROOMS = RoomStatistics(0, 0, 0, {}, 0, 0, {}, 0)


class Metrics:
    """Counts from its creation, and exports the metrics from `start` to `close`."""

    def __init__(self, options: MetricsOptions, chat_paths: Sequence[str]) -> None:
        """The calls of `chat_paths` are counted as sessions."""
        self._options = options
        self._chat_paths = tuple(chat_paths)
        self._calls = CallCounts()
        self._broker_times = BrokerTimes()
        self._lag = Histogram(LAG_BOUNDS)
        self._monitor: LoadMonitor | None = None
        self._registry = options.registry
        self._collector: LoopCollector | None = None
        self._endpoint: Endpoint | None = None

    @property
    def observer(self) -> ServerObserver:
        return self._calls

    def add_methods(self, methods: Mapping[str, MethodHandler]) -> None:
        """Count the calls of these methods, given by their paths."""
        self._calls.add_methods(methods)

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

    async def start(self, source: MetricsSource, *, reuse_port: bool = False) -> None:
        """Export the metrics of `source`: register them, and listen on the port.

        With `reuse_port`, other processes may listen on the port too. Raises `ListenError`, and
        `UsageError` if the registry has metrics of these names already. After an error nothing is
        exported.
        """
        monitor = source.monitor
        registry = self._registry or _own_registry()
        collector = LoopCollector(lambda: list(self._families(source)), lambda: monitor.current_lag)
        try:
            registry.register(collector)
        except ValueError as error:
            raise UsageError(
                "the registry already has metrics of these names, such as those of another "
                "ChatServer; pass each server a registry of its own"
            ) from error
        self._registry, self._collector, self._monitor = registry, collector, monitor
        monitor.listeners.append(self._on_sample)
        if self._options.port is None:
            return

        def health() -> tuple[bool, str]:
            if not collector.is_loop_alive():
                return False, "STALLED"
            status = source.status()
            return status == "SERVING", status

        try:
            self._endpoint = Endpoint(
                self._options.host, self._options.port, registry, health, reuse_port=reuse_port
            )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop exporting, without waiting for open requests. May be called again."""
        if self._monitor is not None:
            self._monitor.listeners.remove(self._on_sample)
            self._monitor = None
        if self._collector is not None and self._registry is not None:
            self._registry.unregister(self._collector)
            self._collector = None
        if self._endpoint is not None:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.close()

    def _on_sample(self, sample: Sample) -> None:
        self._lag.observe(sample.lag)

    def _families(self, source: MetricsSource) -> Iterator[Metric]:
        servers, node = source.server_statistics(), source.node
        rooms = NO_ROOMS if node is None else node.statistics()
        hits = limit_hits(
            refused_connections(servers),
            ended_connections(servers),
            rooms.sessions_ended,
            source.usage_refusals(),
        )
        direct = self._calls.open_calls(self._chat_paths) - rooms.sessions
        yield from call_families(self._calls)
        yield from server_families(servers)
        yield from room_families(direct, rooms)
        yield from broker_families(
            self._broker_times, None if node is None else node.broker.is_available
        )
        yield from limit_families(hits)
        yield from tls_families(source.certificate_expiry())
        yield from lag_families(self._lag)


def _own_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return registry

"""The metrics of one server, put together."""

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
from ..instrumented_broker import WatchedBroker
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
from .options import MetricsOptions, Sources
from .timings import BrokerTimes, LoopLag

__all__ = ["Metrics"]

NO_ROOMS = RoomStatistics(0, 0, 0, {}, 0, 0, {}, 0)


class Metrics:
    """Counts from when it is made; can be asked from `start` to `close`."""

    def __init__(self, options: MetricsOptions, chat_paths: Sequence[str]) -> None:
        """The calls of `chat_paths` are sessions."""
        self._options = options
        self._chat_paths = tuple(chat_paths)
        self._calls = CallCounts()
        self._broker_times = BrokerTimes()
        self._lag = LoopLag()
        self._registry = options.registry
        self._collector: LoopCollector | None = None
        self._endpoint: Endpoint | None = None

    @property
    def observer(self) -> ServerObserver:
        return self._calls

    def serve(self, methods: Mapping[str, MethodHandler]) -> None:
        """These methods are served."""
        self._calls.serve(methods)

    def watched(self, broker: Broker) -> Broker:
        """The broker, to be used so that its calls are measured."""
        return WatchedBroker(broker, self._broker_times.watch)

    @property
    def port(self) -> int:
        """Raises `UsageError` when there is none."""
        if self._endpoint is None:
            raise UsageError("the metrics of this server have no port, or it does not run")
        return self._endpoint.port

    def start(self, sources: Sources, *, reuse_port: bool = False) -> None:
        """From now on the metrics of these are to be had.

        `reuse_port`: another process may listen on the port, too.

        Raises `ListenError`; and `UsageError` for a registry that has such metrics already.
        """
        registry = self._registry or _own_registry()
        collector = LoopCollector(lambda: list(self._families(sources)), self._lag)
        try:
            registry.register(collector)
        except ValueError as error:
            raise UsageError(
                "the registry has the metrics of another ChatServer, or some of their names; "
                "pass it one of its own"
            ) from error
        self._registry, self._collector = registry, collector
        self._lag.start()
        if self._options.port is not None:

            def health() -> tuple[bool, str]:
                if not collector.is_loop_alive():
                    return False, "STALLED"
                status = sources.status()
                return status == "SERVING", status

            self._endpoint = Endpoint(
                self._options.host, self._options.port, registry, health, reuse_port=reuse_port
            )

    async def close(self) -> None:
        """They are no longer to be had. May be called again, and when it was not started."""
        self._lag.stop()
        if self._collector is not None and self._registry is not None:
            self._registry.unregister(self._collector)
            self._collector = None
        if self._endpoint is not None:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.close()

    def _families(self, sources: Sources) -> Iterator[Metric]:
        servers, node = sources.servers(), sources.node
        rooms = NO_ROOMS if node is None else node.statistics()
        hits = limit_hits(
            refused_connections(servers),
            ended_connections(servers),
            rooms.sessions_ended,
            sources.uses_refused(),
        )
        yield from call_families(self._calls)
        yield from server_families(servers)
        yield from room_families(self._calls.open(self._chat_paths) - rooms.sessions, rooms)
        yield from broker_families(
            self._broker_times, None if node is None else node.broker.is_available
        )
        yield from limit_families(hits)
        yield from tls_families(sources.certificate_end())
        yield from lag_families(self._lag.seconds)


def _own_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return registry

"""Tests of assembly/observability.py."""

from __future__ import annotations

import pytest

from chatify_stream import HealthService, RoomOptions, ServingStatus
from chatify_stream.assembly.observability import (
    ROOMS_READINESS,
    BrokerHealth,
    health_pages,
    health_part,
)
from chatify_stream.server.load_monitor import LoadMonitor, Sample
from chatify_stream.server.rooms import Node

from ..server.rooms.moody_broker import MoodyBroker

SAMPLE = Sample(0.0, 0.0, 0.0, 0, 0)


class RecordedHealth(HealthService):
    """Records the statuses that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[tuple[str, ServingStatus]] = []

    def set_status(self, service: str, status: ServingStatus) -> None:
        self.statuses.append((service, status))
        super().set_status(service, status)


async def test_broker(caplog: pytest.LogCaptureFixture) -> None:
    """A change is reported once and logged; started again, the state is reported again."""
    caplog.set_level("INFO")
    broker, monitor, health = MoodyBroker(), LoadMonitor(), RecordedHealth()
    node = Node(RoomOptions(broker=broker))
    await node.open()
    watch = BrokerHealth(node, monitor, health)
    watch.start()
    for broker.is_there in (True, False, False, True, True):
        for listener in monitor.listeners:
            listener(SAMPLE)
    expected = [ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.SERVING]
    assert health.statuses == [(ROOMS_READINESS, status) for status in expected]
    assert caplog.messages == [
        "broker unavailable: messages in rooms are delayed or rejected",
        "broker available again",
    ]
    watch.close()
    watch.close()
    assert monitor.listeners == []
    BrokerHealth(node, monitor, health).start()
    assert health.statuses[3:] == [(ROOMS_READINESS, ServingStatus.SERVING)]
    await node.close()


async def test_memory_broker() -> None:
    """A broker in memory is reported once and not asked again."""
    monitor, health = LoadMonitor(), RecordedHealth()
    node = Node(RoomOptions())
    await node.open()
    watch = BrokerHealth(node, monitor, health)
    watch.start()
    assert health.statuses == [(ROOMS_READINESS, ServingStatus.SERVING)]
    assert monitor.listeners == []
    watch.close()
    await node.close()


def test_pages() -> None:
    """The pages show the statuses; readiness is that of the broker if there are rooms."""
    health = HealthService()
    pages = health_pages(health)

    def shown() -> list[tuple[str, int]]:
        return [(pages[path]().text, pages[path]().status) for path in ("/healthz", "/readyz")]

    assert shown() == [("UNKNOWN\n", 503)] * 2
    part = health_part(health, ["our.Service"])
    part.start()
    assert health.status("our.Service") is ServingStatus.SERVING
    assert shown() == [("SERVING\n", 200)] * 2
    health.set_status(ROOMS_READINESS, ServingStatus.NOT_SERVING)
    assert shown() == [("SERVING\n", 200), ("NOT_SERVING\n", 503)]
    part.close()
    assert health.status("our.Service") is ServingStatus.NOT_SERVING
    assert shown() == [("NOT_SERVING\n", 503)] * 2

"""The metrics are gathered in the event loop, whoever asks."""

from __future__ import annotations

import asyncio
import threading

import pytest
from prometheus_client.core import GaugeMetricFamily

from chatify_stream.server.metrics import collector as module
from chatify_stream.server.metrics.collector import LoopCollector
from chatify_stream.server.metrics.timings import LoopLag


class Gathering:
    """Counts, and notes in which threads."""

    def __init__(self) -> None:
        self.times = 0
        self.threads: set[int] = set()
        self.error: Exception | None = None

    def __call__(self) -> list[GaugeMetricFamily]:
        if self.error is not None:
            raise self.error
        self.times += 1
        self.threads.add(threading.get_ident())
        return [GaugeMetricFamily("times", "it was asked", value=self.times)]


def times_of(collector: LoopCollector) -> float:
    [family] = [each for each in collector.collect() if each.name == "times"]
    return family.samples[0].value


@pytest.fixture
async def gathering() -> Gathering:
    return Gathering()


@pytest.fixture
async def collector(gathering: Gathering) -> LoopCollector:
    return LoopCollector(gathering, LoopLag())


async def test_from_anywhere(gathering: Gathering, collector: LoopCollector) -> None:
    """From the loop itself and from a thread, what is told is of now, and gathered in the loop."""
    assert times_of(collector) == 2
    assert await asyncio.to_thread(times_of, collector) == 3
    assert gathering.threads == {threading.get_ident()}


async def test_a_blocked_loop(
    gathering: Gathering, collector: LoopCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While something blocks the loop, one is told what was there before, and for how long."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(LoopLag, "stalled", 7.0)
    told: list[dict[str, float]] = []

    def ask() -> None:
        told.append({each.name: each.samples[0].value for each in collector.collect()})
        told.append({"alive": collector.is_loop_alive()})

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()  # in the loop, which so answers nobody
    assert told == [{"times": 1, "chatify_event_loop_stalled_seconds": 7}, {"alive": False}]


async def test_the_loop_lives(collector: LoopCollector) -> None:
    """One that is not blocked answers."""
    assert await asyncio.to_thread(collector.is_loop_alive)


async def test_a_failure(gathering: Gathering, collector: LoopCollector) -> None:
    """What fails in the loop is told to who has asked, and does the loop no harm."""
    gathering.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await asyncio.to_thread(times_of, collector)
    gathering.error = None
    assert await asyncio.to_thread(times_of, collector) == 2


def test_a_closed_loop() -> None:
    """What was there at last is told after the loop has been closed."""

    async def make() -> LoopCollector:
        return LoopCollector(Gathering(), LoopLag())

    collector = asyncio.run(make())
    result: list[object] = []
    thread = threading.Thread(
        target=lambda: result.extend([times_of(collector), collector.is_loop_alive()])
    )
    thread.start()
    thread.join()
    assert result == [1, False]

"""Tests of LoopCollector in server/metrics/exporter.py."""

from __future__ import annotations

import asyncio
import threading

import pytest
from prometheus_client.core import GaugeMetricFamily

from chatify_stream.server.metrics import exporter as module
from chatify_stream.server.metrics.exporter import LoopCollector


class Gathering:
    """Counts its calls, and the threads that call it."""

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
    return LoopCollector(gathering, lambda: 7.0)


async def test_from_anywhere(gathering: Gathering, collector: LoopCollector) -> None:
    """In the loop and in a thread, the metrics are up to date and collected in the loop."""
    assert times_of(collector) == 2
    assert await asyncio.to_thread(times_of, collector) == 3
    assert gathering.threads == {threading.get_ident()}


async def test_a_blocked_loop(
    gathering: Gathering, collector: LoopCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the loop is blocked, a thread gets the last metrics and the length of the stall."""
    monkeypatch.setattr(module, "LOOP_TIMEOUT", 0.01)
    answers: list[dict[str, float]] = []

    def ask() -> None:
        answers.append({each.name: each.samples[0].value for each in collector.collect()})
        answers.append({"alive": collector.is_loop_alive()})

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()  # which blocks the loop
    assert answers == [{"times": 1, "chatify_event_loop_stalled_seconds": 7}, {"alive": False}]


async def test_the_loop_lives(collector: LoopCollector) -> None:
    """A loop that is not blocked is alive."""
    assert await asyncio.to_thread(collector.is_loop_alive)


async def test_a_failure(gathering: Gathering, collector: LoopCollector) -> None:
    """An error while collecting is raised in the thread that asked, not in the loop."""
    gathering.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await asyncio.to_thread(times_of, collector)
    gathering.error = None
    assert await asyncio.to_thread(times_of, collector) == 2


def test_a_closed_loop() -> None:
    """After the loop was closed, the last metrics are returned."""

    async def make() -> LoopCollector:
        return LoopCollector(Gathering(), lambda: 0.0)

    collector = asyncio.run(make())
    result: list[object] = []
    thread = threading.Thread(
        target=lambda: result.extend([times_of(collector), collector.is_loop_alive()])
    )
    thread.start()
    thread.join()
    assert result == [1, False]

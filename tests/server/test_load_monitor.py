"""Tests of server/load_monitor.py."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest

from chatify_stream import ChatClient, ChatServer, UsageError
from chatify_stream.server import load_monitor
from chatify_stream.server.load_monitor import INTERVAL, Load, LoadMonitor, Sample

SECONDS = 60.0
STALL_TIMEOUT = 0.2


class Simulated:
    """A monitor whose clocks and counts a test moves; it never waits for the event loop."""

    def __init__(self) -> None:
        self.now = self.cpu = 100.0
        self.published = self.delivered = 0
        self.monitor = LoadMonitor(clock=lambda: self.now, cpu_clock=lambda: self.cpu)
        self.monitor.message_counts = lambda: (self.published, self.delivered)

    def tick(self, late: float = 0.0) -> None:
        self.now += INTERVAL + late
        self.monitor._timer.cancel()
        self.monitor._tick()


@pytest.fixture
async def simulated() -> Simulated:
    return Simulated()


class TestLoad:
    async def test_first_second(self, simulated: Simulated) -> None:
        """Until the second sample the load is unknown, and given as zeros."""
        assert simulated.monitor.load == Load(0, 0, 0, 0)
        simulated.monitor.start()
        assert simulated.monitor.load == Load(0, 0, 0, 0)
        simulated.monitor.stop()

    async def test_rates(self, simulated: Simulated) -> None:
        """Rates are averages of the last seconds; what happened before does not count."""
        simulated.published = 1_000_000
        simulated.monitor.start()
        for _ in range(20):
            simulated.published += 10
            simulated.delivered += 50
            simulated.cpu += 0.25
            simulated.tick()
        assert simulated.monitor.load == Load(0.25, 0, 10, 50)
        for _ in range(5):
            simulated.tick()
        assert simulated.monitor.load == Load(0, 0, 0, 0)
        simulated.monitor.stop()

    async def test_lag(self, simulated: Simulated) -> None:
        """The longest lag of the last seconds counts, and is forgotten afterwards."""
        simulated.monitor.start()
        simulated.tick(late=0.5)
        simulated.tick(late=0.125)
        assert simulated.monitor.load.loop_lag == 0.5
        for _ in range(6):
            simulated.tick()
        assert simulated.monitor.load.loop_lag == 0
        simulated.monitor.stop()

    async def test_restart(self, simulated: Simulated) -> None:
        """A monitor that is started again has forgotten its samples."""
        simulated.monitor.start()
        simulated.tick(late=0.5)
        simulated.monitor.stop()
        simulated.monitor.start()
        assert simulated.monitor.load == Load(0, 0, 0, 0)
        simulated.monitor.stop()


class TestSamples:
    async def test_once_a_second(self, simulated: Simulated) -> None:
        """Listeners get a sample at the tick closest to each second."""
        monitor = LoadMonitor(1.0, clock=lambda: simulated.now)
        samples: list[Sample] = []
        monitor.listeners.append(samples.append)
        monitor.start()
        for late in (0, 0.125, 0, 0, 0, 0, 0, 0):
            simulated.now += 0.25 + late
            monitor._timer.cancel()
            monitor._tick()
        monitor.stop()
        assert [(sample.at, sample.lag) for sample in samples] == [(100.875, 0.125), (101.875, 0)]

    async def test_real_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lag is known while the loop is blocked, and reported to listeners afterwards."""
        monkeypatch.setattr(load_monitor, "INTERVAL", 0.01)
        monitor = LoadMonitor()
        samples: list[Sample] = []
        monitor.listeners.append(samples.append)
        assert monitor.current_lag == 0
        monitor.start()
        try:
            time.sleep(0.05)
            assert monitor.current_lag >= 0.04
            async with asyncio.timeout(20):
                while len(samples) < 3:
                    await asyncio.sleep(0)
        finally:
            monitor.stop()
        assert sum(sample.lag for sample in samples) >= 0.04
        assert monitor.current_lag == 0

    async def test_stop(self) -> None:
        """A stopped monitor has no timer left, and may be stopped again."""
        monitor = LoadMonitor()
        samples: list[Sample] = []
        monitor.listeners.append(samples.append)
        monitor.start()
        monitor.stop()
        monitor.stop()
        await asyncio.sleep(0)
        assert samples == []


class Logged(logging.Handler):
    """Unblocks the event loop when the monitor has logged that it is blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.stall = threading.Event()
        self.end = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.stack_info:
            self.stall.set()
        else:
            self._loop.call_soon(self.end.set)

    def block_the_loop(self, text: str = "") -> str:
        assert self.stall.wait(SECONDS)
        return text


@pytest.fixture
async def logged() -> Logged:
    handler = Logged()
    load_monitor.log.addHandler(handler)
    return handler


@pytest.fixture(autouse=True)
def no_handlers() -> Iterator[None]:
    yield
    load_monitor.log.handlers.clear()


class TestStalls:
    async def test_stall(self, logged: Logged) -> None:
        """A stall is logged once with its stack while it lasts, and once when it ends."""
        monitor = LoadMonitor(STALL_TIMEOUT)
        monitor.start()
        logged.block_the_loop()
        await asyncio.wait_for(logged.end.wait(), SECONDS)
        monitor.stop()
        stall, end = logged.records[:2]
        assert stall.getMessage().startswith("event loop blocked for 0.")
        assert "block_the_loop" in (stall.stack_info or "")
        assert end.getMessage().startswith("event loop running again after it was blocked for ")

    async def test_blocking_reply(self, logged: Logged) -> None:
        """In a server, the stack ends in the function that blocks."""
        async with ChatServer(reply=logged.block_the_loop, log_stalls=STALL_TIMEOUT) as server:
            await server.start("127.0.0.1", 0)
            async with ChatClient(f"127.0.0.1:{server.port}", timeout=SECONDS) as chat:
                await chat.send("a")
                assert (await chat.close_and_recv()).message == "a"
            await asyncio.wait_for(logged.end.wait(), SECONDS)
        assert "in block_the_loop" in (logged.records[0].stack_info or "")
        assert not [t for t in threading.enumerate() if t.name == "chatify-watchdog"]

    async def test_suspended_process(self, logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the thread did not run either, the stall is only logged when it ends."""
        monkeypatch.setattr(LoadMonitor, "_watch", lambda *_: None)
        monitor = LoadMonitor(STALL_TIMEOUT)
        monitor.start()
        monitor._due_at -= 10  # as if nothing had run since then
        await asyncio.wait_for(logged.end.wait(), SECONDS)
        monitor.stop()
        (end,) = logged.records
        message = r"event loop running again after it was blocked for (\d+\.\d) s"
        found = re.fullmatch(message, end.getMessage())
        assert found is not None
        assert 10 <= float(found[1]) < 10 + SECONDS

    async def test_stop(self) -> None:
        """The monitor may be stopped twice, and before it was started."""
        LoadMonitor(1.0).stop()
        monitor = LoadMonitor(1.0)
        monitor.start()
        monitor.stop()
        monitor.stop()

    @pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
    def test_wrong_timeout(self, seconds: float) -> None:
        """The time must be positive."""
        with pytest.raises(UsageError, match="positive number of seconds"):
            ChatServer(log_stalls=seconds)

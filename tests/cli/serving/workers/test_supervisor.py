"""The delays of a supervisor, with workers that are no processes and a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chatify_stream.cli.serving.workers import supervisor as module
from chatify_stream.cli.serving.workers.supervisor import Supervisor
from chatify_stream.config import Settings

from ....support.waiting import until


class FakeWorker:
    """A worker that runs for some seconds of the clock and dies, or runs until it is stopped."""

    pid = 1
    status = None

    def __init__(self, die: Callable[[], None] | None) -> None:
        self._die = die
        self._stopped = asyncio.Event()

    async def wait(self) -> int:
        if self._die is None:
            await self._stopped.wait()
        else:
            self._die()
        return 1

    async def stop(self, grace: float) -> None:
        self._stopped.set()


class Site:
    """A supervisor of one worker; `lives` are the lifetimes of its workers in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lives: list[float]) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._lives = iter(lives)
        self._started = 0
        real_sleep = asyncio.sleep

        async def sleep(seconds: float) -> None:
            if seconds:
                self.slept.append(seconds)
            await real_sleep(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(module, "Worker", SimpleNamespace(start=self._start))
        settings = Settings()
        settings = replace(settings, server=replace(settings.server, host="127.0.0.1", port=0))
        settings = replace(settings, rooms=replace(settings.rooms, enabled=False))
        self.supervisor = Supervisor(settings, lambda: settings)

    async def _start(self, settings: Settings) -> FakeWorker:
        self._started += 1
        seconds = next(self._lives, None)
        if seconds is None:
            return FakeWorker(None)

        def die() -> None:
            self.now += seconds

        return FakeWorker(die)

    async def run(self, deaths: int) -> None:
        await self.supervisor.start("127.0.0.1", 0)
        await until(lambda: self._started == deaths + 1)
        await self.supervisor.close()


async def test_it_dies_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first restart is immediate; further delays grow up to 36 s."""
    site = Site(monkeypatch, [1.0] * 20)
    await site.run(20)
    assert len(site.slept) == 19
    assert 0.4 <= site.slept[0] <= 0.6
    for number, seconds in enumerate(site.slept):
        assert seconds == pytest.approx(min(0.5 * 1.6**number, 30), rel=0.2)


async def test_it_has_run_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ran for half a minute is restarted without delay."""
    site = Site(monkeypatch, [1.0, 1.0, 1.0, 30.0, 1.0, 29.9])
    await site.run(6)
    expected = [0.5, 0.8, 0.5, 0.8]
    assert site.slept == [pytest.approx(seconds, rel=0.2) for seconds in expected]

"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

import pytest

from chatify_stream.server.metrics import timings
from chatify_stream.server.metrics.timings import LoopLag


async def test_what_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks again and again; what blocks the loop is seen meanwhile, and noted afterwards."""
    monkeypatch.setattr(timings, "INTERVAL", 0.01)
    lag = LoopLag()
    assert lag.stalled == 0
    lag.start()
    try:
        time.sleep(0.05)
        assert lag.stalled >= 0.04
        async with asyncio.timeout(20):
            while lag.seconds.count < 3:
                await asyncio.sleep(0)
    finally:
        lag.stop()
    assert lag.seconds.sum >= 0.04
    assert lag.stalled == 0


async def test_stopping() -> None:
    """Stopped, it leaves no timer behind; it may be stopped again."""
    lag = LoopLag()
    lag.start()
    lag.stop()
    lag.stop()
    await asyncio.sleep(0)
    assert lag.seconds.count == 0

"""What measures several nodes runs, and works out costs rightly. How fast it is, no test says."""

from __future__ import annotations

import pytest

from .bench.measure import HAS_PROC
from .bench.nodes import LOADS, MEMBERS, SETUPS, idle_cost, latencies, measure, split, tables
from .bench.peers import build_binaries
from .brokers.redis.servers import redis_server

SHORT = 0.02


@pytest.mark.skipif(not HAS_PROC, reason="it needs Linux' /proc")
async def test_a_run() -> None:
    """A worker is measured, an idle server, and the latency; all of it stands in the tables."""
    build_binaries()
    with redis_server() as redis:
        found = measure(SETUPS[1], redis, SHORT, {"alone": LOADS["alone"]})
        idle = await idle_cost(redis, "memory://", SHORT, members=2)
        latency = await latencies(redis, 400.0, 10 * SHORT)
    assert found["alone per second"] > 0
    assert found["alone scripts"] >= 1
    figures = ("per second", "server", "redis", "scripts", "bytes")
    others = {f"{load} {figure}": 1.0 for load in LOADS for figure in figures}
    results = {setup.name: others | found for setup in SETUPS}
    results |= {"idle": idle, "idle in Redis": idle | {"looks": 1.0}, "latency": latency}
    text = tables(results)
    assert all(f"| {setup.name} |" in text for setup in SETUPS)
    assert "p99" in text


def test_costs() -> None:
    """A message costs what is not a delivery, by two loads of different deliveries a message."""
    message, delivery = 40.0, 2.0
    alone = message + delivery
    in_rooms = message / MEMBERS + delivery
    assert split(alone, in_rooms) == pytest.approx((message, delivery))

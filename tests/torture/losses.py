"""Has Redis lose messages while clients talk, and checks that each of them is told."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from .cluster import cluster
from .crowd import Crowd, read_logs
from .epochs import epochs_told, unannounced
from .processes import RedisProcess
from .report import Report, percentile

__all__ = ["torture_by_losses"]


async def torture_by_losses(
    folder: Path,
    *,
    nodes: int,
    rooms: int,
    clients: int,
    losses: int,
    rate: float,
    apart: float,
    seed: int,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """Redis is flushed and replaced by an older copy, in turn; `rate` is of messages a second."""
    began = time.monotonic()
    times: list[float] = []
    async with cluster(folder, nodes) as running:
        crowd = Crowd.talking_on(
            running.proxy.target, rooms=rooms, clients=clients, rate=rate, seed=seed
        )

        async def all_speak() -> None:
            """Until some more has been said in every room."""
            goals = {room: count + 3 for room, count in _said(crowd).items()}
            await crowd.until(lambda: all(n >= goals[room] for room, n in _said(crowd).items()))

        async def suffer() -> None:
            for loss in range(1, losses + 1):
                await asyncio.sleep(apart)
                await all_speak()
                if loss % 2:
                    at = time.monotonic()
                    await running.redis.ask("FLUSHALL")
                else:
                    copy = folder / f"copy{loss}"
                    await asyncio.to_thread(shutil.copytree, running.redis.data, copy)
                    await all_speak()
                    at = time.monotonic()
                    await _replace(running.redis, copy)
                await crowd.until(
                    lambda loss=loss: all(len(epochs_told(r)) >= loss for r in crowd.records)
                )
                times.append(time.monotonic() - at)
                what = "flushed" if loss % 2 else "replaced by an older copy"
                say(f"loss {loss}: {what}; all were told after {times[-1]:.2f} s")
            await all_speak()
            for talker in crowd.talkers:
                talker.be_quiet()

        await crowd.talk_through(suffer)
        logs = await read_logs(running.redis.broker, crowd.rooms)
    figures: dict[str, float | str] = {
        "nodes": nodes,
        "clients": clients,
        "rooms": rooms,
        "messages acknowledged": crowd.acknowledged,
        "messages delivered": crowd.delivered,
        "flushed": (losses + 1) // 2,
        "replaced by an older copy": losses // 2,
        "new epochs told": sum(len(epochs_told(record)) for record in crowd.records),
        "seconds until all were told, p50": percentile(times, 50),
        "seconds until all were told, most": max(times, default=0.0),
        "seconds in all": time.monotonic() - began,
    }
    return Report(unannounced(logs, crowd.records, losses), figures)


async def _replace(redis: RedisProcess, copy: Path) -> None:
    await redis.kill()
    await asyncio.to_thread(shutil.rmtree, redis.data)
    await asyncio.to_thread(shutil.move, copy, redis.data)
    await redis.start()


def _said(crowd: Crowd) -> dict[str, int]:
    """The messages that were acknowledged, by room."""
    said = dict.fromkeys(crowd.rooms, 0)
    for record in crowd.records:
        said[record.room] += len(record.acknowledged)
    return said

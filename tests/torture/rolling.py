"""Restarts the nodes one after the other while clients talk, and checks that nobody minds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from chatify_stream import Channel
from chatify_stream.messages.grpc.health.v1 import (
    HealthCheckRequest,
    HealthCheckResponseServingStatus,
    HealthStub,
)

from .checker import faults
from .cluster import cluster
from .crowd import Crowd, read_logs
from .processes import AGAIN, Node
from .report import Report

__all__ = ["roll"]


async def roll(
    folder: Path,
    *,
    nodes: int,
    rooms: int,
    clients: int,
    rate: float,
    grace: float,
    seed: int,
    most_seconds: float | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """Each node gets SIGTERM, ends within its grace, and is started again; `rate` is of messages a
    second.

    It is a fault when all that takes longer than `most_seconds`.
    """
    began = time.monotonic()
    took = 0.0
    async with cluster(folder, nodes, grace=grace) as running:
        crowd = Crowd.talking_on(
            running.proxy.target, rooms=rooms, clients=clients, rate=rate, seed=seed
        )

        async def restart_all() -> None:
            nonlocal took
            at = time.monotonic()
            say(f"all are in after {at - began:.1f} s")
            for number, node in enumerate(running.nodes):
                await node.stop()
                say(f"node {number} has ended after {time.monotonic() - at:.1f} s")
                await node.start()
                await _until_healthy(node)
            took = time.monotonic() - at
            for talker in crowd.talkers:
                talker.be_quiet()

        await crowd.talk_through(restart_all)
        logs = await read_logs(running.redis.broker, crowd.rooms)
    found = faults(logs, crowd.records)
    if most_seconds is not None and took > most_seconds:
        found.append(f"all were restarted within {took:.1f} s")
    absences = [absence for talker in crowd.talkers for absence in talker.absences]
    figures: dict[str, float | str] = {
        "nodes": nodes,
        "sessions": clients,
        "rooms": rooms,
        "messages acknowledged": crowd.acknowledged,
        "messages delivered": crowd.delivered,
        "failed sends": sum(len(record.failed) for record in crowd.records),
        "sessions that moved": len(absences),
        "without having been told": sum(not absence.was_told for absence in absences),
        "seconds of the rolling restart": took,
        "seconds in all": time.monotonic() - began,
    }
    return Report(found, figures)


async def _until_healthy(node: Node) -> None:
    async with Channel(node.host, node.port) as channel:
        health = HealthStub(channel)
        while True:
            response = await health.check(HealthCheckRequest())
            if response.status is HealthCheckResponseServingStatus.SERVING:
                return
            await asyncio.sleep(AGAIN)

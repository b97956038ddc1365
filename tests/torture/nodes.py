"""Kills nodes and Redis and parts them, while clients talk, and checks what those saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from .checker import faults
from .cluster import Cluster, cluster, kept_up
from .crowd import Crowd, read_logs
from .networks import network_for
from .processes import AGAIN
from .report import Report, percentile

__all__ = ["torture_nodes"]

AT_THE_LEAST = {"kills": 3.0, "restarts": 6.0, "partitions": 2.0}
"""Seconds from one to the next; those of partitions come on top of what they last."""

TALKING = 0.75
"""The part of that time which all messages would take, if none had to wait."""

NOTICED = 2.0
"""Seconds from the death of a node within which its clients know."""


async def torture_nodes(
    folder: Path,
    *,
    nodes: int,
    rooms: int,
    clients: int,
    messages: int,
    kills: int,
    restarts: int,
    partitions: int,
    longest: float,
    seed: int,
    most_seconds: float | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """`kills` are of nodes, `restarts` of Redis; partitions last from 1 to `longest` seconds.

    It is a fault when one of a hundred clients of dead nodes takes longer than `most_seconds` to
    come back.
    """
    began = time.monotonic()
    chance = Random(seed)
    lengths = [chance.uniform(1, longest) for _ in range(partitions)]
    seconds = max(
        kills * AT_THE_LEAST["kills"],
        restarts * AT_THE_LEAST["restarts"],
        sum(lengths) + partitions * AT_THE_LEAST["partitions"],
    )
    network, what = await network_for()
    say(f"partitions by {what}; {seconds:.0f} s of faults")
    async with cluster(folder, nodes, network) as running:
        crowd = Crowd(
            running.proxy.target,
            rooms=rooms,
            clients=clients,
            messages=messages,
            seed=seed,
            seconds=TALKING * seconds,
        )
        ordeal = Ordeal(running, Random(seed), seconds, say)

        async def suffer() -> None:
            say(f"all are in after {time.monotonic() - began:.0f} s")
            async with kept_up(running.nodes, Random(seed), say):
                async with asyncio.TaskGroup() as group:
                    group.create_task(ordeal.kill_nodes(kills))
                    group.create_task(ordeal.restart_redis(restarts))
                    group.create_task(ordeal.part(lengths))
                while not all(node.is_serving for node in running.nodes):
                    await asyncio.sleep(AGAIN)
            say(f"the ordeal is over; {crowd.acknowledged:,} messages are acknowledged")

        await crowd.talk_through(suffer)
        logs = await read_logs(running.redis.broker, crowd.rooms)
    found = faults(logs, crowd.records)
    times = [
        absence.ended - death
        for talker in crowd.talkers
        for absence in talker.absences
        if not absence.was_told
        for death in ordeal.last_death(absence.began)
        if absence.began <= death + NOTICED
    ]
    p99 = percentile(times, 99)
    if most_seconds is not None and p99 > most_seconds:
        found.append(f"{p99:.2f} s from a node's death to the resumed session, p99")
    figures: dict[str, float | str] = {
        "nodes": nodes,
        "clients": clients,
        "rooms": rooms,
        "messages acknowledged": crowd.acknowledged,
        "messages delivered": crowd.delivered,
        "kill -9 of a node": len(ordeal.deaths),
        "kill -9 of Redis": restarts,
        "partitions": partitions,
        "partitions by": what,
        "seconds parted": sum(lengths),
        "sessions that lost their node": len(times),
        "seconds until resumed, p50": percentile(times, 50),
        "seconds until resumed, p99": p99,
        "seconds until resumed, most": max(times, default=0.0),
        "seconds in all": time.monotonic() - began,
    }
    return Report(found, figures)


class Ordeal:
    """What happens to a cluster, spread over so many seconds."""

    def __init__(
        self, running: Cluster, chance: Random, seconds: float, say: Callable[[str], object]
    ) -> None:
        self._running = running
        self._chance = chance
        self._seconds = seconds
        self._say = say
        self.deaths: list[float] = []
        """When nodes were killed, by the monotonic clock."""

    def last_death(self, now: float) -> list[float]:
        """The last one by then, if there was one."""
        return [death for death in self.deaths if death <= now][-1:]

    async def kill_nodes(self, kills: int) -> None:
        for kill in range(kills):
            await self._pause(self._seconds / kills)
            while len(serving := [n for n in self._running.nodes if n.is_serving]) < 2:
                await asyncio.sleep(AGAIN)
            node = self._chance.choice(serving)
            self.deaths.append(time.monotonic())
            await node.kill()
            self._say(f"kill {kill + 1}: node {self._running.nodes.index(node)}")

    async def restart_redis(self, restarts: int) -> None:
        for restart in range(restarts):
            await self._pause(self._seconds / restarts)
            await self._running.redis.kill()
            self._say(f"kill {restart + 1} of Redis")
            await asyncio.sleep(self._chance.uniform(0, 1))
            await self._running.redis.start()

    async def part(self, lengths: list[float]) -> None:
        network = self._running.network
        for number, length in enumerate(lengths, start=1):
            await self._pause((self._seconds - sum(lengths)) / len(lengths))
            node = self._chance.randrange(len(self._running.nodes))
            self._say(f"partition {number}: node {node} for {length:.1f} s")
            await network.cut(node)
            await asyncio.sleep(length)
            await network.mend(node)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._chance.uniform(0.5, 1))

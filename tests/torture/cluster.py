"""Nodes behind HAProxy, with one Redis, all processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from ..ports import free_port
from ..support.tools import find_tool
from .networks import Network, Relays
from .processes import Node, Proxy, RedisProcess

__all__ = ["Cluster", "cluster", "kept_up"]


class Cluster(NamedTuple):
    """What runs."""

    network: Network
    redis: RedisProcess
    nodes: list[Node]
    proxy: Proxy


@asynccontextmanager
async def cluster(
    folder: Path, nodes: int, network: Network | None = None, *, grace: float = 10.0
) -> AsyncIterator[Cluster]:
    """Everything runs, and is gone afterwards, whatever has happened. `grace` is the nodes'."""
    for program in ("redis-server", "haproxy"):
        find_tool(program)
    network = network or Relays()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(network.close)
        await network.open(nodes)
        redis = RedisProcess(folder, network.redis_host, network.redis_port, network.redis_prefix())
        stack.push_async_callback(redis.kill)
        await redis.start()
        started = []
        for number in range(nodes):
            node = Node(
                folder / f"node{number}.log",
                *network.node_address(number),
                network.redis_url(number),
                prefix=network.node_prefix(number),
                grace=grace,
            )
            stack.push_async_callback(node.kill)
            started.append(node)
        async with asyncio.TaskGroup() as group:
            for node in started:
                group.create_task(node.start())
        proxy = Proxy(folder, free_port(), started)
        stack.push_async_callback(proxy.kill)
        await proxy.start()
        yield Cluster(network, redis, started, proxy)


@asynccontextmanager
async def kept_up(
    nodes: list[Node], chance: Random, say: Callable[[str], object]
) -> AsyncIterator[None]:
    """A node that ends is started again."""
    tasks = [asyncio.create_task(node.keep_up(chance, say)) for node in nodes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

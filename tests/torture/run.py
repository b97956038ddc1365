"""Kills a server again and again while clients talk in its rooms, and checks what they saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from ..ports import free_port
from .checker import faults
from .crowd import Crowd, read_logs
from .processes import Node
from .report import Report

__all__ = ["torture"]


async def torture(
    folder: Path,
    *,
    rooms: int,
    clients: int,
    messages: int,
    kills: int,
    seed: int,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """`clients` in `rooms` publish `messages` in all, through `kills` of the server."""
    began = time.monotonic()
    chance = Random(seed)
    broker = f"sqlite:///{folder}/chat.db"
    server = Node(folder / "server.log", "127.0.0.1", free_port(), broker)
    target = f"127.0.0.1:{server.port}"
    crowd = Crowd(target, rooms=rooms, clients=clients, messages=messages, seed=seed)

    async def suffer() -> None:
        share = messages // (kills + 1)
        for kill in range(kills):
            await crowd.until(lambda goal=(kill + 1) * share: crowd.acknowledged >= goal)
            await asyncio.sleep(chance.uniform(0, 0.2))
            await server.kill()
            say(f"kill {kill + 1} after {crowd.acknowledged:,} acknowledgements")
            await asyncio.sleep(chance.uniform(0, 0.5))
            await server.start()

    try:
        await server.start()
        await crowd.talk_through(suffer)
    finally:
        await server.kill()
    logs = await read_logs(broker, crowd.rooms)
    figures: dict[str, float | str] = {
        "clients": clients,
        "rooms": rooms,
        "messages acknowledged": crowd.acknowledged,
        "messages delivered": crowd.delivered,
        "kill -9 of the server": kills,
        "seconds in all": time.monotonic() - began,
    }
    return Report(faults(logs, crowd.records), figures)

"""Kills a server again and again while clients talk in its rooms, and checks what they saw."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chatify_stream import ChatClient, ChatServer, RoomOptions

from ..ports import free_port
from .checker import Delivery, Record, faults
from .clients import END, Talker

__all__ = ["Report", "torture"]

PATIENCE = 120.0
"""Seconds without any acknowledgement after which the run is given up."""


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    faults: list[str]
    messages: int
    deliveries: int
    kills: int
    seconds: float


class Server:
    """`chatify-stream serve`, which is killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._folder = folder
        self._log = (folder / "server.log").open("ab")
        self._process: asyncio.subprocess.Process | None = None
        self.target = f"127.0.0.1:{self._port}"
        self.broker = f"sqlite:///{folder}/chat.db"

    async def start(self) -> None:
        where = ("--host", "127.0.0.1", "--port", str(self._port), "--broker", self.broker)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chatify_stream",
            "serve",
            *where,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.startswith(b"listening"):
            raise RuntimeError((self._folder / "server.log").read_text(encoding="utf-8"))

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def close(self) -> None:
        await self.kill()
        self._log.close()


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
    acknowledged = 0
    progress = asyncio.Event()

    def on_ack() -> None:
        nonlocal acknowledged
        acknowledged += 1
        progress.set()

    chance = Random(seed)
    server = Server(folder)
    talkers = [
        Talker(
            server.target,
            Record(f"room {number % rooms} 房", f"client-{number}"),
            messages // clients,
            seed + number,
            on_ack,
        )
        for number in range(clients)
    ]
    try:
        await server.start()
        async with asyncio.TaskGroup() as group:
            for talker in talkers:
                group.create_task(talker.run())
            share = messages // (kills + 1)
            for kill in range(kills):
                await _until(lambda goal=(kill + 1) * share: acknowledged >= goal, progress)
                await asyncio.sleep(chance.uniform(0, 0.2))
                await server.kill()
                say(f"kill {kill + 1} after {acknowledged:,} acknowledgements")
                await asyncio.sleep(chance.uniform(0, 0.5))
                await server.start()
            await _until(lambda: acknowledged >= clients * (messages // clients), progress)
            say(f"all {acknowledged:,} messages are acknowledged")
            for room in {talker.record.room for talker in talkers}:
                async with ChatClient(server.target, room=room, user="the end") as chat:
                    await chat.send(END)
    finally:
        await server.close()
    records = [talker.record for talker in talkers]
    logs = await read_logs(server.broker, sorted({record.room for record in records}))
    found = faults(logs, records)
    deliveries = sum(len(record.delivered) for record in records)
    return Report(found, acknowledged, deliveries, kills, time.monotonic() - began)


async def _until(condition: Callable[[], bool], progress: asyncio.Event) -> None:
    while not condition():
        progress.clear()
        async with asyncio.timeout(PATIENCE):
            await progress.wait()


async def read_logs(broker: str, rooms: list[str]) -> dict[str, list[Delivery]]:
    """The whole logs, as another server finds them."""
    logs: dict[str, list[Delivery]] = {}
    async with ChatServer(rooms=RoomOptions(broker=broker)) as server:
        await server.start("127.0.0.1", 0)
        for room in rooms:
            log = logs[room] = []
            while True:
                page = await server.rooms.history(room, after=len(log), limit=1000)
                if not page.publications:
                    break
                for offset, user, text, message_id, _ in page.publications:
                    log.append(Delivery(page.newest.epoch, offset, user, message_id, text))
    return logs

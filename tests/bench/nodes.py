"""What rooms cost in one process, and in Redis for one and for two: `python -m tests.bench.nodes`.

Servers, Redis and the load share the cores of this machine, as nothing is pinned, and take turns in
every round; the figures are the medians of the rounds. What a message and a delivery cost a server
and Redis is the time that they used, so what else the machine does matters less to that. The
latency is that of messages from a client of one node to those of another, at a fifth of the most
that two nodes have delivered before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from redis import Redis

from chatify_stream import Message, RoomClient
from tests.brokers.redis.servers import RedisServer, redis_server
from tests.e2e.processes import ListeningProcess

from .measure import WARMUP, is_busy
from .peers import build_binaries

ROOMS, MEMBERS = 50, 20
CONNECTIONS = ("--connections", f"{ROOMS}")
ALONE = ("publish", *CONNECTIONS, "--members", "1")
IN_ROOMS = (
    *("rooms", *CONNECTIONS, "--streams", f"{MEMBERS}", "--members", f"{MEMBERS}"),
    "--window",
)
LOADS = {"alone": ALONE, "in turn": (*IN_ROOMS, "1"), "many": (*IN_ROOMS, "16")}
"""By how messages come: each to its sender alone; in rooms, one at a time; or 16 at once."""
LISTENERS = 10
"""Members of each room whose latency is measured."""
LATENCY_ROOMS = 4
SHARE = 0.2
IDLE = 200
LOOKING = 10.0
"""Seconds: two rounds of looks into idle rooms."""
PATIENCE = 300

Figures = dict[str, float]


@dataclass(frozen=True)
class Setup:
    """A way to serve."""

    name: str
    workers: int
    is_shared: bool
    """The rooms are in Redis."""


SETUPS = (
    Setup("memory, 1 process", 1, False),
    Setup("Redis, 1 worker", 1, True),
    Setup("Redis, 2 workers", 2, True),
)


@dataclass
class Usage:
    """What Redis has done, since `start`."""

    redis: Redis
    _before: Figures = field(default_factory=dict)

    def start(self) -> None:
        self._before = self._now()

    def since(self) -> Figures:
        return {name: value - self._before.get(name, 0) for name, value in self._now().items()}

    def _now(self) -> Figures:
        cpu: Any = self.redis.info("cpu")
        memory: Any = self.redis.info("memory")
        commands: Any = self.redis.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): it["calls"] for name, it in commands.items()}
        return {
            "cpu": cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            "memory": memory["used_memory"],
            **counts,
        }


@contextmanager
def serving(broker: str, workers: int = 1, **settings: str) -> Iterator[ListeningProcess]:
    server = ListeningProcess(
        *(sys.executable, "-m", "chatify_stream", "serve", "--broker", broker),
        *("--host", "127.0.0.1", "--port", "0", "--grace", "1", "--paths", "/bench.Rooms/Chat"),
        *(("--workers", f"{workers}") if workers > 1 else ()),
        env={f"CHATIFY_STREAM_{name}": value for name, value in settings.items()},
    )
    with server:
        yield server


def put_load(server: ListeningProcess, load: Sequence[str], seconds: float) -> Figures:
    """What the load client measures."""
    argv = [str(build_binaries() / "load"), *load, "--addr", server.address]
    argv += ["--seconds", f"{seconds}", "--warmup", f"{seconds * WARMUP}", "--pid", f"{server.pid}"]
    ran = subprocess.run(argv, capture_output=True, encoding="utf-8", timeout=PATIENCE)
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}\n{ran.stderr}{server.stderr()}")
    figures: Figures = json.loads(ran.stdout)
    return figures


def measure(
    setup: Setup,
    redis: RedisServer,
    seconds: float,
    loads: Mapping[str, Sequence[str]] = MappingProxyType(LOADS),
) -> Figures:
    """The rates, and what it costs the server and Redis."""
    figures: Figures = {}
    with Redis(port=redis.port) as client:
        for name, load in loads.items():
            client.flushall()
            usage = Usage(client)
            usage.start()
            with serving(redis.url if setup.is_shared else "memory://", setup.workers) as server:
                found = put_load(server, load, seconds)
                figures[f"{name} per second"] = found["per_second"]
                if setup.workers == 1:
                    figures[f"{name} server"] = found["server_us_per_message"]
                if setup.is_shared:
                    figures |= {f"{name} {key}": it for key, it in cost_in_redis(usage).items()}
    return figures


def cost_in_redis(usage: Usage) -> Figures:
    """For a message that is published: time, commands, bytes."""
    used = usage.since()
    messages = used["xadd"]
    return {
        "redis": used["cpu"] * 1e6 / messages,
        "scripts": used["evalsha"] / messages,
        "bytes": used["memory"] / messages,
    }


def cpu_seconds(pid: int) -> float:
    """What the main thread, in which everything happens, has used."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


async def idle_cost(
    redis: RedisServer, broker: str, seconds: float, members: int = IDLE
) -> Figures:
    """Of members, each with a connection and a room of its own, in which nothing is said.

    In memory they are asked once a second whether they live. In Redis they are not; there it is
    asked every 5 s what is new in each room.
    """
    silence = "3600" if broker == redis.url else "1"
    with serving(broker, LIMITS_KEEPALIVE_TIME=silence) as server, Redis(port=redis.port) as client:
        client.flushall()
        usage = Usage(client)
        usage.start()
        async with AsyncExitStack() as stack:
            for number in range(members):
                chat = RoomClient(server.address, room=f"room {number}", user=f"user {number}")
                await stack.enter_async_context(chat)
            joined = usage.since()
            usage.start()
            while broker == redis.url and not usage.since().get("evalsha"):
                await asyncio.sleep(0.1)  # the first round of looks begins
            usage.start()
            before = cpu_seconds(server.pid)
            await asyncio.sleep(seconds)
            used = cpu_seconds(server.pid) - before
            looked = usage.since()
    return {
        "server": used * 1e6 / members / seconds,
        "redis": looked["cpu"] * 1e6 / seconds,
        "looks": looked.get("evalsha", 0) / seconds,
        "bytes": joined["memory"] / members,
    }


async def latencies(redis: RedisServer, deliveries: float, seconds: float) -> Figures:
    """From a client of one node to the clients of another, at so many deliveries a second."""
    waits: list[float] = []
    rate = deliveries / (LISTENERS * LATENCY_ROOMS)
    with serving(redis.url) as one, serving(redis.url) as two:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:

            async def client(server: ListeningProcess, room: int, user: str) -> RoomClient:
                chat = RoomClient(server.address, room=f"latency {room}", user=user)
                return await stack.enter_async_context(chat)

            async def listen(chat: RoomClient) -> None:
                async for event in chat:
                    if isinstance(event, Message):
                        if not event.text:
                            return
                        waits.append(time.perf_counter() - float(event.text))

            async def publish(chat: RoomClient) -> None:
                begin = time.perf_counter()
                for number in range(int(seconds * rate)):
                    await asyncio.sleep(begin + number / rate - time.perf_counter())
                    await chat.send(f"{time.perf_counter()}")
                await chat.send("")

            senders = [await client(one, room, "sender") for room in range(LATENCY_ROOMS)]
            for number in range(LATENCY_ROOMS * LISTENERS):
                chat = await client(two, number % LATENCY_ROOMS, f"listener {number}")
                group.create_task(listen(chat))
            for sender in senders:
                group.create_task(publish(sender))
    waits.sort()
    return {
        "deliveries": len(waits) / seconds,
        "p50": waits[len(waits) // 2] * 1000,
        "p99": waits[len(waits) * 99 // 100] * 1000,
    }


def run(rounds: int, seconds: float) -> dict[str, Figures]:
    """The medians, by the name of the setup; "idle" and "latency" beside them."""
    results: dict[str, list[Figures]] = {}
    with redis_server() as redis:
        for turn in range(1, rounds + 1):
            for setup in SETUPS:
                results.setdefault(setup.name, []).append(measure(setup, redis, seconds))
            peak = results[SETUPS[-1].name][-1]["many per second"]
            for name, broker in (("idle", "memory://"), ("idle in Redis", redis.url)):
                idle = asyncio.run(idle_cost(redis, broker, LOOKING))
                results.setdefault(name, []).append(idle)
            latency = asyncio.run(latencies(redis, SHARE * peak, seconds))
            results.setdefault("latency", []).append(latency)
            for name, each in results.items():
                print(f"round {turn}: {name}: {each[-1]}", file=sys.stderr)
    return {name: medians(each) for name, each in results.items()}


def medians(rounds: Sequence[Mapping[str, float]]) -> Figures:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def tables(results: Mapping[str, Figures]) -> str:
    """What is in docs/explanation/capacity.md."""
    lines = [
        "| | to the sender alone, msg/s | one at a time: published | delivered "
        "| 16 at once: published | delivered |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for setup in SETUPS:
        alone, *rates = (results[setup.name][f"{load} per second"] for load in LOADS)
        cells = [alone, *(each for rate in rates for each in (rate / MEMBERS, rate))]
        lines.append(f"| {setup.name} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    lines += ["", "| | memory | Redis |", "| --- | --- | --- |"]
    for name, *values in costs(results):
        cells = ["" if value is None else f"{value:,.3g}" for value in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    latency = results["latency"]
    lines += [
        "",
        f"From node to node at {latency['deliveries']:,.0f} deliveries a second: "
        f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms.",
    ]
    return "\n".join(lines)


def costs(results: Mapping[str, Figures]) -> Iterator[tuple[str, float | None, float]]:
    """Each with what it is in memory and in Redis."""
    memory, shared, two = (results[setup.name] for setup in SETUPS)
    both = [split(each["alone server"], each["in turn server"]) for each in (memory, shared)]
    yield "a message, µs of a server", both[0][0], both[1][0]
    yield "a delivery, µs of a server", both[0][1], both[1][1]
    many = [each["many server"] for each in (memory, shared)]
    yield "a delivery of 16 messages at once, with its share of them", *many
    yield "a message, µs of Redis", None, shared["in turn redis"]
    yield "with a second server that listens", None, two["in turn redis"]
    yield "a message of 16 at once, µs of Redis", None, shared["many redis"]
    yield "a message, scripts", None, shared["in turn scripts"]
    yield "a message of 16 at once, scripts", None, shared["many scripts"]
    yield "a message that is kept, bytes in Redis", None, shared["in turn bytes"]
    idle, looking = results["idle"], results["idle in Redis"]
    yield "a PING and its answer, µs of a server", idle["server"], idle["server"]
    looks = looking["looks"]
    yield "a look into an idle room, µs of a server", None, looking["server"] * IDLE / looks
    yield "a look into an idle room, µs of Redis", None, (looking["redis"] - idle["redis"]) / looks
    yield "a room with a member, bytes in Redis", None, looking["bytes"]


def split(alone: float, in_rooms: float) -> tuple[float, float]:
    """What a message and a delivery cost, of what they cost together, a delivery.

    Alone a message has one delivery, and in rooms it has as many as there are members.
    """
    delivery = (MEMBERS * in_rooms - alone) / (MEMBERS - 1)
    return alone - delivery, delivery


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.nodes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often; %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each; %(default)s")
    arguments = parser.parse_args()
    if is_busy():
        print(
            "this machine is busy with something else: the figures will say little", file=sys.stderr
        )
    results = run(arguments.rounds, arguments.seconds)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s on {os.cpu_count()} "
        f"cores (load {load}); Python {platform.python_version()}, redis-py {version('redis')}.\n"
    )
    print(tables(results))


if __name__ == "__main__":
    main()

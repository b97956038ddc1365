"""What the clients do alike: the load on one stream, measured as the load client in Go does it."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

TIMEOUT = 120.0
"""Seconds after which a client gives up."""

TEXTS = [f"Message {i:07}" for i in range(1000)]
"""15 bytes each; different, so that a reply in the wrong place is noticed."""


class Stream(Protocol):
    """One Chat stream of any library."""

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str: ...


@dataclass
class Tally:
    messages: int
    waits: list[float]
    """Seconds from a message to its reply, where each was waited for."""


def expect_reply(reply: str, index: int) -> None:
    want = f"Hello {TEXTS[index % len(TEXTS)]}"
    if reply != want:
        raise RuntimeError(f"reply {index} is {reply!r}, not {want!r}")


async def flood(stream: Stream, seconds: float) -> Tally:
    """Sends as much as it can, and reads the replies meanwhile."""
    due = 0  # known before the last message leaves: no reply is waited for that is not due

    async def send() -> None:
        nonlocal due
        end = time.perf_counter() + seconds
        index = 0
        while not due:
            if time.perf_counter() > end:
                due = index + 1
            await stream.send(TEXTS[index % len(TEXTS)])
            index += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        index = 0
        while not index or index != due:
            expect_reply(await stream.receive(), index)
            index += 1
    return Tally(index, [])


async def pingpong(stream: Stream, seconds: float) -> Tally:
    """Sends a message once the reply to the one before is there."""
    waits: list[float] = []
    now = time.perf_counter()
    end = now + seconds
    while now < end or not waits:
        await stream.send(TEXTS[len(waits) % len(TEXTS)])
        expect_reply(await stream.receive(), len(waits))
        then, now = now, time.perf_counter()
        waits.append(now - then)
    return Tally(len(waits), waits)


MODES: dict[str, Callable[[Stream, float], Awaitable[Tally]]] = {
    "flood": flood,
    "pingpong": pingpong,
}


def main(connect: Callable[[str, int], AbstractAsyncContextManager[Stream]]) -> None:
    """Measures a stream that `connect(host, port)` opens, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--addr", required=True, help="HOST:PORT of the server")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warmup", type=float, default=0.3)
    arguments = parser.parse_args()
    host, _, port = arguments.addr.rpartition(":")
    run = MODES[arguments.mode]

    async def measure() -> dict[str, float]:
        async with asyncio.timeout(TIMEOUT), connect(host, int(port)) as stream:
            await run(stream, arguments.warmup)
            start = time.perf_counter()
            tally = await run(stream, arguments.seconds)
            taken = time.perf_counter() - start
        figures = {"messages": tally.messages, "per_second": tally.messages / taken}
        if tally.waits:
            figures["p50_us"] = statistics.median(tally.waits) * 1e6
        return figures

    print(json.dumps(asyncio.run(measure())))

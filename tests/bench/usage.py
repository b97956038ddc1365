"""What one who is over a limit of use does to one who is not: `python -m tests.bench.usage`.

A server process; an abuser in another one, who takes no refusal for an answer; a bystander here,
whose ping-pong is timed: alone, and then during each abuse. The abuser has the least priority, so
that what is seen is the time that he takes of the server, not of a small machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from itertools import count

from chatify_stream import (
    AddressHeader,
    CallError,
    Channel,
    ChatClient,
    ChatReq,
    ChatRsp,
    ChatServer,
    Rate,
    UsageLimits,
)
from chatify_stream.wire import Cardinality

LIMITS = UsageLimits(
    messages_per_address=Rate(1000, 500.0),
    joins_per_address=Rate(100, 20.0),
    rooms_per_address=100,
    sessions_per_address=200,
)
SECONDS = 4.0
CHAT = "/service.v1.Service/Chat"
ABUSER = {"x-forwarded-for": "192.0.2.1"}


async def serve(limits: UsageLimits | None) -> None:
    header = AddressHeader("x-forwarded-for", ["127.0.0.1"])
    async with ChatServer(usage=limits, address_header=header) as server:
        await server.start("127.0.0.1", 0)
        print(server.port, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            statistics = server.usage_statistics()
            print(json.dumps([statistics.refused, statistics.accounts, _kilobytes()]), flush=True)


async def abuse(port: int, how: str) -> None:
    async with Channel("127.0.0.1", port) as channel:
        async with asyncio.TaskGroup() as abusers:
            for _ in range(4):
                abusers.create_task(
                    {"messages": _flood, "joins": _join, "rooms": _stay}[how](channel)
                )


async def _flood(channel: Channel) -> None:
    while True:
        with suppress(CallError):
            async with ChatClient(channel, metadata=ABUSER) as chat:

                async def read() -> None:
                    while await chat.receive() is not None:
                        pass

                reading = asyncio.create_task(read())
                try:
                    while True:
                        await chat.send("x")
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)


async def _join(channel: Channel) -> None:
    while True:
        with suppress(CallError):
            await _enter(channel, "room", half_closes=True)


async def _stay(channel: Channel) -> None:
    for n in count():
        with suppress(CallError):
            await _enter(channel, f"room-{id(asyncio.current_task())}-{n}", half_closes=False)


async def _enter(channel: Channel, room: str, *, half_closes: bool) -> None:
    metadata = {**ABUSER, "chat-room": room}
    stream = channel.request(
        CHAT, Cardinality.STREAM_STREAM, ChatReq, ChatRsp, metadata=metadata, wait_for_ready=True
    )
    await stream.__aenter__()
    try:
        await stream.send_request(end=half_closes)
        await stream.recv_initial_metadata()
    except BaseException:
        await stream.__aexit__(*sys.exc_info())
        raise
    if half_closes:
        await stream.__aexit__(None, None, None)
    else:
        _open.append(stream)


_open: list[object] = []


async def measure(how: str | None, limits: str) -> None:
    server = await _start("serve", limits)
    assert server.stdin is not None
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    abuser = None if how is None else await _start("abuse", str(port), how)
    times = []
    async with ChatClient(f"127.0.0.1:{port}") as chat:
        await asyncio.sleep(1)
        end = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < end:
            await chat.send("Ada")
            await chat.receive()
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)
    server.stdin.write(b"\n")
    refused, accounts, kilobytes = json.loads(await server.stdout.readline())
    if abuser is not None:
        abuser.kill()
        await abuser.wait()
    server.stdin.close()
    await server.wait()
    times.sort()
    p50, p99 = times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000
    print(
        f"{how or 'nobody':>9} limits {limits:>3}: p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, "
        f"{kilobytes:7d} kB, {accounts} accounts, refused {refused}",
        flush=True,
    )


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.usage",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


def _kilobytes() -> int:
    with open(f"/proc/{os.getpid()}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def main() -> None:
    for limits in ("on", "off"):
        for how in (None, "messages", "joins", "rooms"):
            await measure(how, limits)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", limits]:
            asyncio.run(serve(LIMITS if limits == "on" else None))
        case ["abuse", port, how]:
            os.nice(19)
            asyncio.run(abuse(int(port), how))
        case _:
            asyncio.run(main())

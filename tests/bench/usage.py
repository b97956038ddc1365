"""What one who is over a limit does to one who is not: `python -m tests.bench.usage [CASE ...]`.

A server process on one core. On another one a bystander, whose ping-pong is timed, and an abuser of
the least priority: on one connection he sends as fast as he can, and when he is cut off he connects
again a second later. Whoever takes CPU there would disturb the bystander without any server; so
each abuse takes turns with a process in the abuser's place that spends as much CPU as he did, and
calls nobody. Printed are the medians of p50 and p99 beside both, and how many times larger the p99
is: in the first half second, which has the bursts of the limits, and from then on. `busy` is the
server's share of its core, `kB` what it has grown by in the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hpack import Encoder

from chatify_stream import (
    AddressHeader,
    ChatClient,
    ChatServer,
    JwtAuthenticator,
    Rate,
    UsageLimits,
)
from chatify_stream.cli.serving.run import collect_garbage_less_often

from ..attacks.minting import SECRET, token
from ..support.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

ROUNDS = 3
BURST, SECONDS = 0.5, 1.5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = (4).to_bytes(2, "big") + (2**30).to_bytes(4, "big")
CHAT = "/service.v1.Service/Chat"
RECONNECT = 1.0
"""Seconds. Who would not wait so long is for `limits.connection_rate_per_address`."""
OPEN_CALLS = 100
"""Of an abuser who waits for answers."""


def message(text: bytes) -> bytes:
    size = len(text).to_bytes(1, "big") if len(text) < 128 else bytes((len(text) & 127 | 128, 7))
    body = b"\n" + size + text
    return bytes(1) + len(body).to_bytes(4, "big") + body


class Abuser:
    """One connection of his."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._encoder = Encoder()
        self._numbers = count(1, 2)
        self._windows = {0: 65535}
        self._first_window = 65535
        self.open: set[int] = set()
        self._changed = asyncio.Event()
        self.greeted = asyncio.Event()
        """He knows the windows."""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def change(self) -> None:
        """Waits until something has come."""
        self._changed.clear()
        await self._changed.wait()

    def call(self, path: str, flags: int, *fields: tuple[str, str]) -> tuple[int, bytes]:
        number = next(self._numbers)
        self.open.add(number)
        self._windows[number] = self._first_window
        common = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        common |= {"te": "trailers", "content-type": "application/grpc"}
        common["x-forwarded-for"] = "192.0.2.1"
        block = self._encoder.encode([*common.items(), *fields])
        return number, frame(HEADERS, flags | END_HEADERS, number, block)

    def has_window(self, number: int, size: int) -> bool:
        if min(self._windows[0], self._windows.get(number, 0)) < size:
            return False
        self._windows[0] -= size
        self._windows[number] -= size
        return True

    async def read(self) -> None:
        """Until he is cut off. Raises `ConnectionError`."""
        data = b""
        while received := await self._reader.read(1 << 18):
            data += received
            position = 0
            while (start := position + 9) <= len(data):
                size = int.from_bytes(data[position : position + 3], "big")
                if start + size > len(data):
                    break
                kind, flags = data[position + 3], data[position + 4]
                number = int.from_bytes(data[position + 5 : start], "big")
                self._take(kind, flags, number, data[start : start + size])
                position = start + size
            data = data[position:]
            self._changed.set()
        raise ConnectionResetError

    def _take(self, kind: int, flags: int, number: int, body: bytes) -> None:
        if kind == WINDOW_UPDATE and number in self._windows:
            self._windows[number] += int.from_bytes(body, "big")
        elif kind == SETTINGS and not flags:
            for place in range(0, len(body), 6):
                if body[place : place + 2] == WIDE[:2]:
                    self._first_window = int.from_bytes(body[place + 2 : place + 6], "big")
            self._writer.write(frame(SETTINGS, 1, 0, b""))
            self.greeted.set()
        elif kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
            self.open.discard(number)
            self._windows.pop(number, None)


Abuse = Callable[[Abuser], Awaitable[None]]


async def calls(
    abuser: Abuser,
    path: str = CHAT,
    *,
    ends: bool = True,
    body: bytes = b"",
    fields: Callable[[int], Iterable[tuple[str, str]]] = lambda n: (),
    at_once: int = OPEN_CALLS,
) -> None:
    """Calls, each in the place of one that has ended."""
    for n in count():
        while len(abuser.open) >= at_once:
            await abuser.change()
        number, frames = abuser.call(path, END_STREAM if ends and not body else 0, *fields(n))
        await abuser.write(frames + (frame(DATA, 0, number, body) if body else b""))


async def messages(abuser: Abuser, text: bytes) -> None:
    """Messages of a session, and of the next one when it has ended."""
    lot = message(text) * (16_000 // len(message(text)))
    while True:
        number, frames = abuser.call(CHAT, 0)
        await abuser.write(frames)
        while number in abuser.open:
            if abuser.has_window(number, len(lot)):
                await abuser.write(frame(DATA, 0, number, lot))
            else:
                await abuser.change()


async def flood(abuser: Abuser, frames: bytes) -> None:
    while True:
        await abuser.write(frames * 100)


async def resets(abuser: Abuser) -> None:
    while True:
        number, frames = abuser.call(CHAT, 0)
        await abuser.write(frames + frame(RST_STREAM, 0, number, bytes(4)))


def _room(n: int) -> list[tuple[str, str]]:
    return [("chat-room", f"room-{n}")]


USAGE: dict[str, tuple[dict[str, Any], Abuse]] = {
    "messages_per_session": (
        {"messages_per_session": Rate(1000, 500.0)},
        partial(messages, text=b"x"),
    ),
    "messages_per_address": (
        {"messages_per_address": Rate(1000, 500.0)},
        partial(messages, text=b"x"),
    ),
    "bytes_per_session": (
        {"bytes_per_session": Rate(100_000, 10_000.0)},
        partial(messages, text=b"x" * 1000),
    ),
    "bytes_per_address": (
        {"bytes_per_address": Rate(100_000, 10_000.0)},
        partial(messages, text=b"x" * 1000),
    ),
    "joins_per_address": ({"joins_per_address": Rate(100, 20.0)}, partial(calls, fields=_room)),
    "rooms_per_address": ({"rooms_per_address": 20}, partial(calls, ends=False, fields=_room)),
    "sessions_per_address": ({"sessions_per_address": 20}, partial(calls, ends=False)),
}
OTHERS: dict[str, Abuse] = {
    "auth.mode": calls,
    "limits.refusals": partial(calls, path="/service.v1.Service/None"),
    "limits.max_message_size": partial(calls, body=b"\0\xff\xff\xff\xff"),
    "limits.max_header_list_size": partial(calls, fields=lambda n: [("x", "a" * 20_000)]),
    "limits.max_concurrent_streams": partial(calls, ends=False, at_once=1 << 30),
    "limits.resets": resets,
    "limits.pings": partial(flood, frames=frame(PING, 0, 0, bytes(8))),
    "limits.settings": partial(flood, frames=frame(SETTINGS, 0, 0, b"")),
    "limits.glitches": partial(flood, frames=frame(PRIORITY, 0, 1, bytes(5))),
    "no limit: messages": partial(messages, text=b"x"),
    "no limit: calls": calls,
}
CASES = {f"usage.{name}": abuse for name, (_, abuse) in USAGE.items()} | OTHERS


async def serve(case: str, secret: str) -> None:
    limits, _ = USAGE.get(case.removeprefix("usage."), ({}, None))
    header = AddressHeader("x-forwarded-for", ["127.0.0.1"])
    auth = JwtAuthenticator(secret_file=secret) if case == "auth.mode" else None
    server = ChatServer(usage=UsageLimits(**limits), address_header=header, auth=auth)
    async with server:
        await server.start("127.0.0.1", 0)
        collect_garbage_less_often()  # as `chatify-stream serve`
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)


async def attend(port: str) -> None:
    """The bystander."""
    bearer = token({"sub": "ada", "exp": int(time.time()) + 3600})
    metadata = {"authorization": f"Bearer {bearer}"}
    async with ChatClient(f"127.0.0.1:{port}", metadata=metadata) as chat:
        while line := await asyncio.to_thread(sys.stdin.readline):
            times, end = [], time.perf_counter() + float(line)
            while (began := time.perf_counter()) < end:
                await chat.send("Ada")
                await chat.receive()
                times.append(time.perf_counter() - began)
                await asyncio.sleep(0.002)
            times.sort()
            print(json.dumps([times[len(times) * each // 100] for each in (50, 99)]), flush=True)


async def abuse(port: str, case: str) -> None:
    for attempt in count():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            if not attempt:
                print(flush=True)
            abuser = Abuser(reader, writer)
            writer.write(PREFACE + frame(SETTINGS, 0, 0, WIDE))
            writer.write(frame(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(abuser.read())
                tasks.create_task(_abuse(CASES[case], abuser))
        except* ConnectionError:
            writer.close()
        await asyncio.sleep(RECONNECT)


async def _abuse(how: Abuse, abuser: Abuser) -> None:
    await abuser.greeted.wait()
    await how(abuser)


def burn(share: str) -> None:
    """Spends so much of a core."""
    print(flush=True)
    while True:
        end = time.process_time() + 0.01 * float(share)
        while time.process_time() < end:
            pass
        time.sleep(0.01 * (1 - float(share)))


async def measure(case: str, secret: str) -> None:
    cores = sorted(os.sched_getaffinity(0))
    server = await _start(cores[0], "serve", case, secret)
    port = await _line(server)
    bystander = await _start(cores[-1], "attend", port)
    seen: dict[str, list[tuple[float, float, float, float]]] = {"abuse": [], "burn": []}
    await _time(bystander, BURST)
    before = _kilobytes(server)
    for _ in range(ROUNDS):
        share = 0.0
        for role in seen:
            arguments = (port, case) if role == "abuse" else (str(min(share, 0.99)),)
            other = await _start(cores[-1], role, *arguments)
            await _line(other)
            began, own, servers = time.perf_counter(), _cpu(other), _cpu(server)
            _, burst = await _time(bystander, BURST)
            p50, p99 = await _time(bystander, SECONDS)
            elapsed = time.perf_counter() - began
            share = (_cpu(other) - own) / elapsed
            seen[role].append((burst, p50, p99, (_cpu(server) - servers) / elapsed))
            other.kill()
            await other.wait()
    await _time(bystander, BURST)
    grown = _kilobytes(server) - before
    for process in (bystander, server):
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    burst, p50, p99, busy = map(statistics.median, zip(*seen["abuse"], strict=True))
    calm_burst, calm_p50, calm, _ = map(statistics.median, zip(*seen["burn"], strict=True))
    print(
        f"{case:29} {p50 * 1000:5.2f} {calm_p50 * 1000:5.2f}  {p99 * 1000:6.2f} {calm * 1000:5.2f} "
        f"{p99 / calm:5.1f}  {burst * 1000:6.2f} {burst / calm_burst:5.1f}  {busy:4.0%} {grown:6d}",
        flush=True,
    )


async def _start(core: int, *arguments: str) -> Process:
    command = [sys.executable, "-m", "tests.bench.usage", "role", str(core), *arguments]
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)


async def _line(process: Process, *, says: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if says:
        process.stdin.write(f"{says}\n".encode())
    return (await process.stdout.readline()).decode().strip()


async def _time(bystander: Process, seconds: float) -> tuple[float, float]:
    p50, p99 = json.loads(await _line(bystander, says=str(seconds)))
    return p50, p99


def _cpu(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(process: Process) -> int:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def main(cases: list[str]) -> None:
    print(
        "ms, medians                     p50  calm     p99  calm ratio   burst ratio  busy     kB"
    )
    with tempfile.NamedTemporaryFile() as secret:
        secret.write(SECRET)
        secret.flush()
        for case in cases or CASES:
            await measure(case, secret.name)


def play(role: str, arguments: list[str]) -> None:
    if role in ("abuse", "burn"):
        os.nice(19)
    if role == "burn":
        burn(*arguments)
    else:
        asyncio.run({"serve": serve, "attend": attend, "abuse": abuse}[role](*arguments))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["role", core, role, *arguments]:
            os.sched_setaffinity(0, {int(core)})
            play(role, arguments)
        case cases:
            asyncio.run(main(cases))

"""`chatify-stream nodes`, as a process, on servers in this process and on workers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chatify_stream import __version__
from chatify_stream.brokers import Answers
from chatify_stream.cli.commands.nodes import _lines
from chatify_stream.messages.chatify.rooms import v1
from chatify_stream.server import RoomOptions

from ...brokers.redis.servers import RedisServer, redis_server
from ...e2e.processes import ServerProcess
from ...server.rooms.moody_broker import MoodyBroker
from ...server.talking import serving
from ..command_line import Finished, invoke
from ..server_thread import ServerThread

SECONDS = 60.0

NODE = v1.Node(
    id="abc",
    version="1.2.3",
    host="horse",
    address="0.0.0.0:9000",
    pid=77,
    started_at_ms=0,
    sessions=1200,
    rooms=30,
    cpu=0.754,
    loop_lag=0.0125,
    published_per_second=10.04,
    delivered_per_second=2000.0,
    draining=False,
)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def nodes(port: int, *args: str) -> Finished:
    return await asyncio.to_thread(invoke, "nodes", "--target", f"127.0.0.1:{port}", *args)


async def test_one() -> None:
    """A server with its own broker is the only node; fields are separated by tabs."""
    async with serving(rooms=RoomOptions(service=True)) as server:
        port = server.port
        done = await nodes(port)
    host, address, pid, version, _, *counts = done.stdout.rstrip("\n").split("\t")
    assert (host, address) == (socket.gethostname(), f"127.0.0.1:{port}")
    assert (int(pid), version, done.status, done.stderr) == (os.getpid(), __version__, 0, "")
    assert counts[:2] == ["0", "0"]
    assert counts[-1] == "serving"


async def test_one_that_is_silent() -> None:
    """If a server does not answer, the others are printed and the status is 5."""
    broker = MoodyBroker()
    broker.others = Answers([bytes(v1.Node(id="x", host="\x1b[31m", draining=True))], 2)
    async with serving(rooms=RoomOptions(service=True, broker=broker)) as server:
        done = await nodes(server.port)
        target = f"127.0.0.1:{server.port}"
        ended = await asyncio.to_thread(invoke, "rooms", "disconnect", "--target", target, "Nobody")
    assert len(done.stdout.splitlines()) == 2
    assert "\x1b" not in done.stdout
    assert "draining" in done.stdout
    assert (done.status, done.stderr) == (5, "Error: 2 servers did not answer in time\n")
    assert (ended.status, ended.stderr) == (5, "Error: 2 servers did not answer in time\n")
    assert ended.stdout == "0 sessions ended\n"


def test_not_turned_on(server: ServerThread) -> None:
    """A server without the Rooms service gives status 5 and the fix."""
    done = invoke("nodes", "--target", server.address)
    assert done.status == 5
    assert "start the server with --rooms-service" in done.stderr


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is a table, with units."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(time, "time", lambda: 7300.0)
    young = replace(NODE, started_at_ms=7_299_000, address="", draining=True)
    head, first, second = _lines([NODE, young], as_json=False)
    assert head.split()[:5] == ["HOST", "ADDRESS", "PID", "VERSION", "UP"]
    expected = "horse 0.0.0.0:9000 77 1.2.3 2h 1200 30 75% 12ms 10.0 2000.0 serving"
    assert first.split() == expected.split()
    assert second.split()[1:5] == ["-", "77", "1.2.3", "1s"]
    assert second.split()[-1] == "draining"


@pytest.mark.process
def test_workers(redis: RedisServer) -> None:
    """Each worker is a node; a killed worker is replaced by another node."""
    broker = f"{redis.url}?prefix=workers"
    args = ("serve", "--workers", "2", "--rooms-service", "--broker", broker)
    with ServerProcess(*args) as process:
        first = pids_of(process, set())
        gone = min(first)
        os.kill(gone, 9)
        second = pids_of(process, {gone})
        assert second - first
        assert first - {gone} < second


def pids_of(process: ServerProcess, without: set[int]) -> set[int]:
    """Return the two nodes, once none of the excluded ones is among them."""
    end = time.monotonic() + SECONDS
    while True:
        done = invoke("nodes", "--target", process.address, "--json", "--wait-for-ready")
        entries = [v1.Node(**json.loads(line)) for line in done.stdout.splitlines()]
        pids = {entry.pid for entry in entries}
        if done.status == 0 and len(pids) == 2 and not pids & without:
            return pids
        assert time.monotonic() < end, (done, process.stderr())

"""A Redis Cluster of three masters, as local processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...ports import free_port
from .servers import TIMEOUT, RedisServer

OPTIONS = ("--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
SLOTS = ((0, 5461), (5462, 10922), (10923, 16383))


@contextmanager
def redis_cluster() -> Iterator[list[RedisServer]]:
    with tempfile.TemporaryDirectory(prefix="redis") as folder, ExitStack() as stack:
        servers = []
        for number in range(3):
            path = Path(folder) / str(number)
            path.mkdir()
            server = RedisServer(path, *OPTIONS, "--cluster-port", str(free_port()))
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        for server, (first, last) in zip(servers, SLOTS, strict=True):
            server.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", str(servers.index(server) + 1))
            bus = server.options[-1]
            servers[0].ask("CLUSTER", "MEET", "127.0.0.1", str(server.port), bus)
        end = time.monotonic() + TIMEOUT
        for server in servers:
            while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):
                assert time.monotonic() < end, server.ask("CLUSTER", "INFO")
                time.sleep(0.05)
        yield servers


def url_of(servers: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])


def move_slot(slot: int, old: RedisServer, new: RedisServer, servers: list[RedisServer]) -> None:
    """With its keys, as redis-cli does it."""
    old_id, new_id = (server.ask("CLUSTER", "MYID").split(b"\r\n")[1] for server in (old, new))
    new.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", old_id)
    old.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", new_id)
    while keys := old.ask("CLUSTER", "GETKEYSINSLOT", str(slot), "100").split(b"\r\n")[2::2]:
        for key in keys:
            old.ask("MIGRATE", "127.0.0.1", str(new.port), key, "0", "5000")
    for server in (new, old, *servers):
        server.ask("CLUSTER", "SETSLOT", str(slot), "NODE", new_id)

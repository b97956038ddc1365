"""Tests of brokers/redis/shards.py: the contract on a Redis Cluster, and behind Sentinel."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from chatify_stream.brokers.redis import RedisBroker
from chatify_stream.brokers.redis import publisher as publishing
from chatify_stream.testing import BrokerContract

from ...ports import free_port
from ...support.waiting import wait_until
from .cluster import SLOTS, move_slot, redis_cluster, url_of
from .opened import TIMEOUT, draft, opened, texts_of
from .servers import RedisServer, Sentinel, in_thread, redis_server


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with redis_cluster() as servers:
        yield servers


class TestCluster(BrokerContract):
    durable = True
    shared = True

    @pytest.fixture(autouse=True)
    def _url(self, cluster: list[RedisServer]) -> None:
        self.url = f"{url_of(cluster)}?prefix={token_hex(4)}"

    async def make_broker(self, **options: Any) -> RedisBroker:
        return RedisBroker(self.url, **options)


async def test_a_slot_that_moves(
    cluster: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rooms are published in, read and listened to at the new master."""
    monkeypatch.setattr(publishing, "HOLD_MS", 100)
    async with opened(f"{url_of(cluster)}?prefix={token_hex(4)}") as (broker, recorder):
        await broker.subscribe("lobby")
        await broker.enter("lobby", "ada", "session 1")
        await broker.publish("lobby", [draft("a")])
        slot = broker._keys.of_room("lobby").slot
        old = next(n for n, (first, last) in enumerate(SLOTS) if first <= slot <= last)
        moving = in_thread(move_slot, slot, cluster[old], cluster[old - 1], cluster)
        calls = [broker.publish("lobby", [draft(n)]) for n in "bcd"]
        await asyncio.gather(moving, *calls)
        await broker.publish("lobby", [draft("e")])
        await recorder.until(lambda: recorder.offsets("lobby") == [1, 2, 3, 4, 5], TIMEOUT)
        assert texts_of(recorder, "lobby") == list("abcde")
        assert len((await broker.read("lobby", limit=9)).publications) == 5
        assert await broker.users("lobby") == ["ada"]
        assert len(recorder.begun["lobby"]) == 1


class Watched:
    """A master with a replica, which a Sentinel puts in its place."""

    def __init__(self, stack: ExitStack) -> None:
        self.master = stack.enter_context(redis_server("--save", ""))
        address = f"127.0.0.1 {self.master.port}"
        self.replica = stack.enter_context(redis_server("--save", "", "--replicaof", address))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="redis")))
        self.sentinel = Sentinel(folder, self.master, self.replica)
        stack.callback(self.sentinel.kill)
        self.sentinel.start()
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}"
        self.url = f"redis+sentinel://{hosts}/chat/1"
        wait_until(lambda: b"master_link_status:up" in self.replica.ask("INFO"))
        wait_until(lambda: b"slaves=1" in self.sentinel.ask("INFO", "sentinel"))

    def catch_up(self) -> None:
        wait_until(lambda: self.offset_of(self.replica) == self.offset_of(self.master))

    def offset_of(self, server: RedisServer) -> bytes:
        found = re.search(rb"master_repl_offset:(\d+)", server.ask("INFO", "replication"))
        return found[1] if found else b""


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


class TestBehindSentinel(BrokerContract):
    durable = True
    shared = True

    @pytest.fixture(autouse=True)
    def _url(self, watched: Watched) -> None:
        self.url = f"{watched.url}?prefix={token_hex(4)}"

    async def make_broker(self, **options: Any) -> RedisBroker:
        return RedisBroker(self.url, **options)


async def test_failover(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the replica had goes on; where it lacked something, the room begins anew."""
    monkeypatch.setattr(publishing, "HOLD_MS", 300)
    master, replica = watched.master, watched.replica
    async with opened(f"{watched.url}?timeout=30") as (broker, recorder):
        for room in ("whole", "behind"):
            await broker.subscribe(room)
            await broker.publish(room, [draft("a", "a")])
        await in_thread(watched.catch_up)
        replica.signal(signal.SIGSTOP)
        master.ask("CLIENT", "KILL", "TYPE", "replica")  # so that it gets no more
        await broker.publish("behind", [draft("b")])
        await recorder.until(lambda: recorder.offsets("behind") == [1, 2], TIMEOUT)
        master.kill()
        replica.signal(signal.SIGCONT)
        [receipt] = await broker.publish("whole", [draft("c", "c")])
        await recorder.until(lambda: recorder.offsets("whole") == [1, 2], TIMEOUT)
        assert [p.epoch for p in recorder.begun["whole"]] == [receipt.position.epoch]
        await recorder.until(lambda: len(recorder.begun["behind"]) == 2, TIMEOUT)
        first, second = recorder.begun["behind"]
        assert (first.epoch == second.epoch, second.offset) == (False, 1)


async def test_the_slot_of_servers_moves(cluster: list[RedisServer]) -> None:
    """Servers hear each other at the new master, too."""
    url = f"{url_of(cluster)}?prefix={token_hex(4)}"
    async with opened(url) as (broker, _), opened(url) as (other, _):
        slot = broker._keys.servers_slot
        old = next(n for n, (first, last) in enumerate(SLOTS) if first <= slot <= last)
        await in_thread(move_slot, slot, cluster[old], cluster[old - 1], cluster)
        async with asyncio.timeout(TIMEOUT):
            for each in (broker, other):
                while await each.survey(b"abc") != ([b"cba"], 0):
                    await asyncio.sleep(0.01)

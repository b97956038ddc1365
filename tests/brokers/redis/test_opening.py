"""A Redis that cannot be used is refused in one line, without passwords."""

from __future__ import annotations

import signal
import sys

import pytest

from chatify_stream.brokers import make_broker
from chatify_stream.brokers.redis import RedisBroker
from chatify_stream.brokers.redis import connection as link
from chatify_stream.errors import UsageError
from chatify_stream.testing import Recorder

from ...ports import free_port
from ...support.waiting import until
from .opened import draft, opened, why_not
from .servers import RedisServer, redis_server


async def test_nobody_there() -> None:
    """An address where nothing listens, and a socket that is not there."""
    port = free_port()
    assert await why_not(f"redis://:secret@127.0.0.1:{port}/1") == (
        f"the broker redis://127.0.0.1:{port}/1: cannot connect: Connection refused"
    )
    assert "No such file" in await why_not("unix:///nowhere/redis.sock")


async def test_passwords() -> None:
    """A password that is missing or wrong is refused, and the right one taken."""
    with redis_server("--save", "", "--requirepass", "right") as server:
        address = server.url.removeprefix("redis://")
        assert "password required" in await why_not(server.url)
        reason = await why_not(f"redis://:secret@{address}")
        assert "wrong user name or password" in reason
        assert "secret" not in reason
        async with opened(f"redis://:right@{address}") as (broker, _):
            await broker.publish("lobby", [draft("a")])
        async with opened(f"unix://:right@{server.socket}?db=2") as (broker, _):
            assert (await broker.read("lobby", limit=1)).newest.offset == 0


async def test_a_replica(shared_redis: RedisServer) -> None:
    """A replica takes no messages."""
    with redis_server("--save", "", "--replicaof", f"127.0.0.1 {shared_redis.port}") as server:
        assert "read-only replica" in await why_not(server.url)


async def test_too_old(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that lacks what is needed is named."""
    monkeypatch.setattr(link, "MIN_VERSION", (99, 0))
    assert "use Redis 99.0 or newer" in await why_not(shared_redis.url)


async def test_what_is_no_cluster_or_sentinel(shared_redis: RedisServer) -> None:
    """Each kind of URL says what it has found instead."""
    address = shared_redis.url.removeprefix("redis://")
    assert "not a Redis Cluster" in await why_not(f"redis+cluster://{address}")
    assert "not a Sentinel" in await why_not(f"redis+sentinel://{address}/chat")
    assert "check that its port uses TLS" in await why_not(f"rediss://{address}?timeout=1")


async def test_a_full_one() -> None:
    """Messages that do not fit are refused with the reason, and taken again once they do."""
    with redis_server("--save", "") as server:
        async with opened(server.url) as (broker, _):
            await broker.publish("lobby", [draft("a")])
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(Exception, match="out of memory"):
                await broker.publish("lobby", [draft("b")])
            server.ask("CONFIG", "SET", "maxmemory", "0")
            [receipt] = await broker.publish("lobby", [draft("c")])
            assert receipt.position.offset == 2


async def test_scripts_that_were_flushed(shared_redis: RedisServer) -> None:
    """A Redis that has forgotten the scripts is given them again."""
    async with opened(f"{shared_redis.url}?prefix=flushed") as (broker, recorder):
        await broker.subscribe("lobby")
        shared_redis.ask("SCRIPT", "FLUSH")
        await broker.publish("lobby", [draft("a")])
        await recorder.until(lambda: recorder.offsets("lobby") == [1])


async def test_availability() -> None:
    """Whether Redis is there is known a moment later, both ways."""
    with redis_server("--save", "") as server:
        broker = RedisBroker(server.url)
        assert not broker.is_available
        await broker.open(Recorder())
        try:
            await until(lambda: broker.is_available)
            server.kill()
            await until(lambda: not broker.is_available)
            server.start()
            await until(lambda: broker.is_available)
        finally:
            await broker.close()
        assert not broker.is_available


async def test_availability_of_one_that_hangs() -> None:
    """That Redis does not answer any more is known without asking it for anything."""
    with redis_server() as server:
        async with opened(f"{server.url}?timeout=1") as (broker, _):
            await until(lambda: broker.is_available)
            server.signal(signal.SIGSTOP)
            await until(lambda: not broker.is_available)
            server.signal(signal.SIGCONT)
            await until(lambda: broker.is_available)


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing extra is named."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "chatify_stream.brokers.redis")
    with pytest.raises(UsageError, match=r"pip install 'chatify-stream\[redis\]'"):
        make_broker("redis://localhost")

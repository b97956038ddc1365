"""Tests of brokers/redis/survey.py; the contract has what is told and answered."""

from __future__ import annotations

import asyncio
import socket
from secrets import token_hex

import pytest

from chatify_stream.brokers.redis import survey as redis_survey
from chatify_stream.errors import BrokerError

from .opened import TIMEOUT, opened
from .servers import RedisServer, in_thread, redis_server


async def test_one_that_does_not_answer(
    shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was told and says nothing is counted, after a bounded time."""
    monkeypatch.setattr(redis_survey, "ANSWER_TIMEOUT", 0.5)
    prefix = token_hex(4)
    url = f"{shared_redis.url}?prefix={prefix}"
    with socket.create_connection(("127.0.0.1", shared_redis.port), timeout=TIMEOUT) as dead:
        channel = f"{prefix}:{{servers}}:tell:"
        dead.sendall(f"SUBSCRIBE {channel}\r\n".encode())
        assert b"subscribe" in await in_thread(dead.recv, 1000)
        async with opened(url) as (broker, _), opened(url):
            assert await broker.survey(b"abc") == ([b"cba"], 1)


async def test_of_another_database(shared_redis: RedisServer) -> None:
    """Servers with another database or prefix are others."""
    url = f"{shared_redis.url}/{{}}?prefix={token_hex(4)}"
    async with opened(url.format(1)) as (broker, _), opened(url.format(2)) as (_, other):
        assert await broker.survey(b"abc") == ([], 0)
        assert other.commands == []


async def test_redis_was_away() -> None:
    """While Redis is away it is refused in bounded time; afterwards all are told again."""
    with redis_server() as server:
        url = f"{server.url}?timeout=1"
        async with opened(url) as (broker, _), opened(url):
            await in_thread(server.kill)
            async with asyncio.timeout(TIMEOUT):
                with pytest.raises(BrokerError):
                    await broker.survey(b"away")
                await in_thread(server.start)
                while not await all_answer(broker):
                    await asyncio.sleep(0.01)


async def all_answer(broker: object) -> bool:
    try:
        answers = await broker.survey(b"back")  # type: ignore[attr-defined]
    except BrokerError:
        return False
    return bool(answers == ([b"kcab"], 0))


async def test_a_user_without_channels() -> None:
    """A Redis user that may not subscribe is refused, with what it takes."""
    with redis_server() as one:
        one.ask("ACL", "SETUSER", "ada", "on", ">x", "allkeys", "+@all", "resetchannels")
        address = one.url.removeprefix("redis://")
        with pytest.raises(BrokerError, match="channels that begin with the prefix"):
            async with opened(f"redis://ada:x@{address}?timeout=1"):
                pass

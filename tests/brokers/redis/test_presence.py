"""Who is in a room whose users are on several servers."""

from __future__ import annotations

import asyncio
from secrets import token_hex

import pytest

from chatify_stream.brokers.redis import feed
from chatify_stream.brokers.redis import maintenance as upkeep

from .opened import TIMEOUT, opened
from .servers import RedisServer


@pytest.fixture
def url(shared_redis: RedisServer) -> str:
    return f"{shared_redis.url}?prefix={token_hex(4)}"


async def test_on_two_servers(url: str) -> None:
    """A user joins with the first session on any server, and leaves with the last one."""
    async with opened(url) as (one, at_one), opened(url) as (two, at_two):
        for broker in (one, two):
            await broker.subscribe("lobby")
        await one.enter("lobby", "ada", "session 1")
        await two.enter("lobby", "ada", "session 2")
        await two.enter("lobby", "bob", "session 3")
        assert await one.users("lobby") == await two.users("lobby") == ["ada", "bob"]
        assert [room.users for room in (await two.rooms(limit=9)).rooms] == [2]
        await one.leave("lobby", "ada", "session 1")
        await two.leave("lobby", "bob", "session 3")
        await two.leave("lobby", "ada", "session 2")
        expected = [("ada", True), ("bob", True), ("bob", False), ("ada", False)]
        for recorder in (at_one, at_two):
            await recorder.until(lambda r=recorder: len(r.presence["lobby"]) == 4, TIMEOUT)
            assert recorder.presence["lobby"] == expected


async def test_a_server_that_died(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its users leave when its time is over, but for those who are elsewhere, too."""
    monkeypatch.setattr(upkeep, "ROUND", 0.1)
    async with opened(url) as (one, at_one):
        await one.subscribe("lobby")
        async with opened(url, lease_ms=300) as (two, _):
            two._maintenance.rooms = lambda: []  # it says no more
            await one.enter("lobby", "ada", "session 3")
            await two.enter("lobby", "ada", "session 1")
            await two.enter("lobby", "bob", "session 2")
            await at_one.until(lambda: len(at_one.presence["lobby"]) == 3, TIMEOUT)
            assert at_one.presence["lobby"] == [("ada", True), ("bob", True), ("bob", False)]
            assert await one.users("lobby") == ["ada"]


async def test_a_server_that_was_thought_dead(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its users come back with it."""
    monkeypatch.setattr(upkeep, "ROUND", 0.1)
    async with opened(url) as (one, at_one), opened(url, lease_ms=300) as (two, _):
        await one.subscribe("lobby")
        with monkeypatch.context() as patched:
            patched.setattr(two._maintenance, "rooms", lambda: [])
            await two.enter("lobby", "ada", "session 1")
            await at_one.until(lambda: len(at_one.presence["lobby"]) >= 2, TIMEOUT)
        await at_one.until(lambda: len(at_one.presence["lobby"]) >= 3, TIMEOUT)
        assert at_one.presence["lobby"][:3] == [("ada", True), ("ada", False), ("ada", True)]


async def test_a_server_that_lives(
    url: str, shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for which its users are there is made longer again and again."""
    monkeypatch.setattr(upkeep, "ROUND", 0.05)
    async with opened(url) as (broker, _):
        await broker.enter("lobby", "ada", "session 1")
        key = broker._keys.of_room("lobby").four[3]
        ends = {shared_redis.ask("ZSCORE", key, broker._node)}
        async with asyncio.timeout(TIMEOUT):
            while len(ends) < 3:
                await asyncio.sleep(0.01)
                ends.add(shared_redis.ask("ZSCORE", key, broker._node))
        assert await broker.users("lobby") == ["ada"]


async def test_closing(url: str) -> None:
    """The users of a server that is closed leave at once."""
    async with opened(url) as (one, at_one):
        await one.subscribe("lobby")
        async with opened(url) as (two, _):
            await two.enter("lobby", "ada", "session 1")
        assert await one.users("lobby") == []
        await at_one.until(lambda: len(at_one.presence["lobby"]) == 2, TIMEOUT)
        assert (await one.rooms(limit=9)).rooms == []


async def test_notices_that_are_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has come or gone meanwhile is told with the next notice, or the next look."""
    async with opened(url) as (broker, recorder):
        await broker.subscribe("lobby")
        await broker.enter("lobby", "ada", "session 1")
        await recorder.until(lambda: len(recorder.presence["lobby"]) == 1, TIMEOUT)
        with monkeypatch.context() as patched:
            patched.setattr(feed.Feed, "receive", lambda self, payload: None)
            await broker.leave("lobby", "ada", "session 1")
            await broker.enter("lobby", "bob", "session 2")
            await asyncio.sleep(0.05)
        await broker.enter("lobby", "eve", "session 3")
        await recorder.until(lambda: len(recorder.presence["lobby"]) == 4, TIMEOUT)
        told = recorder.presence["lobby"][1:]
        assert sorted(told) == [("ada", False), ("bob", True), ("eve", True)]

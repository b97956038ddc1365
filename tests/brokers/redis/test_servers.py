"""Two servers with the rooms in one Redis, as their clients see them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest

from chatify_stream import ChatServer, Joined, Left, Message, RoomClient, RoomOptions

from ...e2e.processes import ListeningProcess
from .opened import TIMEOUT
from .servers import RedisServer, in_thread


@pytest.fixture
def url(shared_redis: RedisServer) -> str:
    return f"{shared_redis.url}?prefix={token_hex(4)}"


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[str]:
    async with ChatServer(rooms=RoomOptions(broker=url)) as server:
        await server.start("127.0.0.1", port=0)
        yield f"127.0.0.1:{server.port}"


async def next_of(client: RoomClient, kind: type) -> object:
    async with asyncio.timeout(TIMEOUT):
        async for event in client:
            if isinstance(event, kind):
                return event
    raise AssertionError("the client has ended")


async def test_a_room_across_both(url: str) -> None:
    """What is said on one is heard on the other, in one order; so is who comes and goes."""
    async with serving(url) as one, serving(url) as two:
        async with RoomClient(one, room="lobby", user="Ada", presence=True) as ada:
            async with RoomClient(two, room="lobby", user="Bob", presence=True) as bob:
                joined = await next_of(ada, Joined)
                assert joined.user == "Bob"
                await asyncio.gather(
                    *(ada.send(f"ada {n}") for n in range(20)),
                    *(bob.send(f"bob {n}") for n in range(20)),
                )
                heard = []
                for client in (ada, bob):
                    messages = [await next_of(client, Message) for _ in range(40)]
                    heard.append([(m.position.offset, m.sender, m.text) for m in messages])
                assert heard[0] == heard[1]
                assert [offset for offset, _, _ in heard[0]] == list(range(1, 41))
            left = await next_of(ada, Left)
            assert left.user == "Bob"


@pytest.mark.process
async def test_a_server_that_is_killed(url: str) -> None:
    """Its clients go on at another one, and miss nothing."""
    argv = (sys.executable, "-m", "chatify_stream", "serve", "--host", "127.0.0.1", "--port", "0")
    async with serving(url) as two:
        with ListeningProcess(*argv, "--broker", url) as process:
            one = f"127.0.0.1:{process.port}"
            async with (
                RoomClient([one, two], room="lobby", user="Ada") as ada,
                RoomClient(two, room="lobby", user="Bob") as bob,
            ):
                await ada.send("before")
                await in_thread(process.kill)
                await bob.send("meanwhile")
                await ada.send("after")
                texts = [(await next_of(ada, Message)).text for _ in range(3)]
                assert texts == ["before", "meanwhile", "after"]

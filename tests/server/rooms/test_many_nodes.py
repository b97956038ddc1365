"""Several servers that share a Redis, for operators and probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from secrets import token_hex

import pytest

from chatify_stream import CallError, Channel, ChatServer, ServingStatus
from chatify_stream.messages.chatify.rooms import v1
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.server import RoomOptions, load_monitor

from ...brokers.redis.servers import RedisServer, in_thread, redis_server
from ..talking import client, member, serving

PATIENCE = 60.0
READINESS = "service.v1.Service/rooms"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def two_nodes(redis: RedisServer) -> AsyncIterator[tuple[ChatServer, ChatServer]]:
    rooms = RoomOptions(broker=f"{redis.url}?prefix={token_hex(4)}", service=True)
    async with serving(rooms=rooms) as one, serving(rooms=rooms) as other:
        yield one, other


@asynccontextmanager
async def stub_of(server: ChatServer) -> AsyncIterator[v1.RoomsStub]:
    async with Channel("127.0.0.1", server.port) as channel:
        yield v1.RoomsStub(channel, timeout=PATIENCE)


async def test_disconnect(redis: RedisServer) -> None:
    """A user's sessions end on every server; those of other users stay."""
    async with two_nodes(redis) as servers, stub_of(servers[0]) as stub:
        async with (
            member(servers[0], "a", "Ada") as here,
            member(servers[1], "a", "Ada") as there,
            member(servers[1], "b", "Ada") as elsewhere,
            member(servers[1], "a", "Bob") as other,
        ):
            for chat in (here, there, elsewhere, other):
                await chat.send("in")
            request = v1.DisconnectRequest(user="Ada", room="a", reason="够了")
            assert await stub.disconnect(request) == v1.DisconnectResponse(sessions=2)
            for chat in (here, there):
                with pytest.raises(CallError, match="disconnected: 够了"):
                    async for _ in chat:
                        pass
            await elsewhere.send("still here")
            request = v1.DisconnectRequest(user="Ada")
            assert await stub.disconnect(request) == v1.DisconnectResponse(sessions=1)
            with pytest.raises(CallError, match="disconnected: by an operator"):
                async for _ in elsewhere:
                    pass
            await other.send("still here")
            assert await stub.disconnect(request) == v1.DisconnectResponse()


async def test_presence_and_rooms(redis: RedisServer) -> None:
    """Each server knows the rooms and users of the others."""
    async with two_nodes(redis) as servers:
        async with member(servers[0], "a", "Ada") as ada, member(servers[1], "b", "Bob") as bob:
            await ada.send("x")
            await bob.send("y")
            for server in servers:
                async with stub_of(server) as stub:
                    listed = await stub.list_rooms(v1.ListRoomsRequest())
                    assert [(room.name, room.users) for room in listed.rooms] == [
                        ("a", 1),
                        ("b", 1),
                    ]
                    for room, user in (("a", "Ada"), ("b", "Bob")):
                        present = await stub.presence(v1.PresenceRequest(room=room))
                        assert present.users == [user]


async def test_nodes(redis: RedisServer) -> None:
    """Every server lists all running servers in the same order."""
    async with two_nodes(redis) as servers:
        async with member(servers[1], "a", "Ada") as ada, stub_of(servers[0]) as stub:
            await ada.send("x")
            answer = await stub.list_nodes(v1.ListNodesRequest())
            expected = sorted((f"127.0.0.1:{server.port}", server) for server in servers)
            assert [node.address for node in answer.nodes] == [address for address, _ in expected]
            counts = [(node.sessions, node.rooms) for node in answer.nodes]
            assert counts == [(1, 1) if each is servers[1] else (0, 0) for _, each in expected]
            async with stub_of(servers[1]) as other:
                again = (await other.list_nodes(v1.ListNodesRequest())).nodes
            assert [node.id for node in again] == [node.id for node in answer.nodes]
        await servers[1].close()
        async with stub_of(servers[0]) as stub, asyncio.timeout(PATIENCE):
            while True:
                answer = await stub.list_nodes(v1.ListNodesRequest())
                if [node.address for node in answer.nodes] == [f"127.0.0.1:{servers[0].port}"]:
                    break
        assert answer.silent == 0


async def test_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is unavailable the rooms are NOT_SERVING and the server SERVING."""
    monkeypatch.setattr(load_monitor, "INTERVAL", 0.05)
    with redis_server() as redis:
        async with (
            serving(rooms=RoomOptions(broker=redis.url)) as server,
            Channel("127.0.0.1", server.port) as channel,
            asyncio.timeout(PATIENCE),
        ):
            health = HealthStub(channel)
            watch = aiter(health.watch(HealthCheckRequest(service=READINESS)))
            assert (await anext(watch)).status is ServingStatus.SERVING
            await in_thread(redis.kill)
            assert (await anext(watch)).status is ServingStatus.NOT_SERVING
            for service in ("", "service.v1.Service"):
                answer = await health.check(HealthCheckRequest(service=service))
                assert answer.status is ServingStatus.SERVING
            async with client(server) as chat:
                await chat.send("x")
                assert (await chat.receive()).message == "Hello x"
            await in_thread(redis.start)
            assert (await anext(watch)).status is ServingStatus.SERVING
            await watch.aclose()


async def test_no_rooms() -> None:
    """A server without rooms has no health status for rooms."""
    async with serving(rooms=None) as server:
        assert server.health.status(READINESS) is None


async def test_stopped() -> None:
    """A closed server does not become ready again."""
    async with serving() as server:
        await server.drain(1)
        server.health.set_status(READINESS, ServingStatus.SERVING)
        assert server.health.status(READINESS) is ServingStatus.NOT_SERVING

"""Two servers with their rooms in one Redis, behind the HAProxy and nginx of docs/operations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatify_stream import Gap, Message, RoomClient, client_tls

from ..auth.certificates import Authority
from ..brokers.redis.servers import RedisServer, in_thread, redis_server
from ..client.relay import relaying
from .grpcio_client import chat, unary_chat
from .proxies import GatheringHAProxy, HAProxy, Nginx, Node

CLIENT = "127.0.0.77"
PATIENCE = 60.0
CALLS = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Site:
    """A proxy and the nodes behind it."""

    def __init__(self, proxy: HAProxy | Nginx, nodes: list[Node], authority: Authority) -> None:
        self.proxy = proxy
        self.nodes = nodes
        self._authority = authority

    def client(self, address: str, user: str, *, is_tls: bool) -> RoomClient:
        tls = client_tls(ca=self._authority.file) if is_tls else None
        return RoomClient(address, ssl=tls, room="lobby", user=user)

    def channel(self, *, is_tls: bool) -> grpc.Channel:
        """Of grpcio."""
        options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
        if not is_tls:
            assert isinstance(self.proxy, HAProxy)
            return grpc.insecure_channel(f"127.0.0.1:{self.proxy.port}", options)
        credentials = grpc.ssl_channel_credentials(self._authority.file.read_bytes())
        return grpc.secure_channel(f"localhost:{self.proxy.tls_port}", credentials, options)

    async def session_of(self, user: str) -> tuple[Node, dict[str, Any]]:
        """The node that a user's session is on, and what its log says of that."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for node in self.nodes:
                    for line in map(json.loads, node.log().splitlines()):
                        if line["message"] == "session opened" and line.get("user") == user:
                            return node, line
                await asyncio.sleep(0.02)


Open = Callable[[type[HAProxy] | type[Nginx]], Site]


@pytest.fixture
def opened(tmp_path: Path, authority: Authority, redis: RedisServer) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_site(kind: type[HAProxy] | type[Nginx]) -> Site:
            broker = f"{redis.url}?prefix={tmp_path.name}"

            def start(_: int) -> Node:
                node = Node(broker, kind.node_options, kind.node_env)
                stack.callback(lambda: node.process.stop())
                return node

            with ThreadPoolExecutor() as pool:
                nodes = list(pool.map(start, range(2)))
            proxy = kind(tmp_path, nodes, authority.issue("proxy"))
            stack.callback(proxy.stop)
            proxy.start()
            return Site(proxy, nodes, authority)

        yield open_site


async def heard(client: RoomClient, count: int) -> list[str]:
    texts: list[str] = []
    async with asyncio.timeout(PATIENCE):
        async for event in client:
            assert not isinstance(event, Gap)
            if isinstance(event, Message):
                texts.append(event.text)
            if len(texts) == count:
                break
    return texts


def call_each(channel: grpc.Channel) -> list[str]:
    """Calls, one after the other, of which none may fail."""
    return [unary_chat(channel, f"{number}") for number in range(CALLS)]


ANSWERS = [f"Hello {number}" for number in range(CALLS)]


@pytest.mark.parametrize(
    ("kind", "is_tls"),
    [(HAProxy, True), (HAProxy, False), (Nginx, True)],
    ids=["haproxy-calls", "haproxy-connections", "nginx"],
)
async def test_before_two_nodes(
    opened: Open, kind: type[HAProxy] | type[Nginx], is_tls: bool
) -> None:
    """Sessions and calls go through; a node that is killed is left out, and nothing is missed.

    The nodes know the addresses of clients.
    """
    site = await in_thread(opened, kind)
    proxy = site.proxy
    port = proxy.tls_port if is_tls else proxy.port
    async with relaying(port, CLIENT) as relay:
        async with (
            site.client(relay.target, "Ada", is_tls=is_tls) as ada,
            site.client(f"localhost:{port}", "Bob", is_tls=is_tls) as bob,
        ):
            await ada.send("before")
            node, opening = await site.session_of("Ada")
            assert opening.get("client", opening["peer"].rpartition(":")[0]) == CLIENT
            with site.channel(is_tls=is_tls) as channel:
                names = list(map(str, range(CALLS)))
                assert [reply.message for reply in chat(channel, names)] == ANSWERS
                await in_thread(node.process.kill)
                with site.channel(is_tls=is_tls) as another:
                    assert await in_thread(call_each, another) == ANSWERS
            await bob.send("meanwhile")
            await ada.send("after")
            assert await heard(ada, 3) == ["before", "meanwhile", "after"]


async def test_nodes_come_back(opened: Open) -> None:
    """HAProxy uses a node again that has come back; one that stops hands its sessions over."""
    site = await in_thread(opened, HAProxy)
    node, other = site.nodes
    async with site.client(f"localhost:{site.proxy.tls_port}", "Ada", is_tls=True) as ada:
        await ada.send("before")
        await in_thread(node.process.stop)
        await ada.send("meanwhile")
        await in_thread(node.start)
        await in_thread(site.proxy.wait_until_ready)
        assert await in_thread(other.process.stop) == 0
        await ada.send("after")
        assert await heard(ada, 3) == ["before", "meanwhile", "after"]


async def test_rooms_that_are_gathered(opened: Open) -> None:
    """HAProxy can bring all members of a room to one node."""
    site = await in_thread(opened, GatheringHAProxy)
    users = [f"user {number}" for number in range(8)]
    async with AsyncExitStack() as stack:
        for user in users:
            client = site.client(f"localhost:{site.proxy.tls_port}", user, is_tls=True)
            await stack.enter_async_context(client)
        places = [(await site.session_of(user))[0].port for user in users]
    assert len(set(places)) == 1

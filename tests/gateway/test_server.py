"""Tests of gateway/server.py."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from chatify_stream import ChatServer, ListenError
from chatify_stream.gateway import GatewayServer, create_app

from .gateways import SECONDS, error, http_client

SHUTTING_DOWN = error(503, "UNAVAILABLE", "the gateway is shutting down")


class Hanging:
    """A chat server whose replies wait until they are released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def reply(self, name: str) -> str:
        self.asked.set()
        await self.released.wait()
        return f"Hello {name}"


@pytest.fixture
async def hanging() -> Hanging:
    return Hanging()


@pytest.fixture
async def gateway(hanging: Hanging) -> AsyncIterator[GatewayServer]:
    """A gateway to the hanging chat server."""
    async with ChatServer(reply=hanging.reply) as server, asyncio.timeout(SECONDS):
        await server.start("127.0.0.1", 0)
        gateway = GatewayServer(create_app(f"127.0.0.1:{server.port}", SECONDS))
        await gateway.start("127.0.0.1", 0)
        yield gateway
        await gateway.close()


@pytest.fixture
async def client(gateway: GatewayServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(f"127.0.0.1:{gateway.port}") as client:
        yield client


async def until_stopping(client: httpx.AsyncClient) -> None:
    """Wait until the gateway accepts no connections."""
    while True:
        try:
            await client.get("/healthz", headers={"connection": "close"})
        except httpx.TransportError:
            return


class TestStart:
    async def test_port(self, client: httpx.AsyncClient, gateway: GatewayServer) -> None:
        """The gateway picks a free port, and serves on it once started."""
        assert gateway.port > 0
        assert (await client.get("/healthz")).status_code == 200

    async def test_localhost(self) -> None:
        """The gateway listens on every address of its host, on one port."""
        gateway = GatewayServer(create_app())
        await gateway.start("localhost", 0)
        try:
            for *_, address in socket.getaddrinfo(
                "localhost", gateway.port, type=socket.SOCK_STREAM
            ):
                host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
                async with http_client(f"{host}:{gateway.port}") as client:
                    assert (await client.get("/healthz")).status_code == 200
        finally:
            await gateway.close()

    async def test_port_in_use(self, gateway: GatewayServer) -> None:
        """A port in use raises ListenError."""
        with pytest.raises(ListenError) as caught:
            await GatewayServer(create_app()).start("127.0.0.1", gateway.port)
        assert str(caught.value) == (
            f"cannot listen on 127.0.0.1:{gateway.port}: "
            "the port is in use by another program; stop it or use another port"
        )

    @pytest.mark.parametrize(
        ("host", "port", "reason"),
        [
            ("203.0.113.1", 0, "not an address of this machine"),
            ("127.0.0.1", 70000, "not a valid port; use a number from 0 to 65535"),
        ],
    )
    async def test_bad_address(self, host: str, port: int, reason: str) -> None:
        """An address that cannot be listened on raises ListenError with the reason."""
        with pytest.raises(ListenError) as caught:
            await GatewayServer(create_app()).start(host, port)
        assert caught.value.reason == reason

    async def test_close_before_start(self) -> None:
        """A gateway that was not started can be closed."""
        await GatewayServer(create_app()).close()
        await GatewayServer(create_app()).drain()


class TestStopping:
    async def test_idle_connection(self, client: httpx.AsyncClient, gateway: GatewayServer) -> None:
        """A kept-alive connection does not delay the drain."""
        assert (await client.get("/healthz")).status_code == 200
        await gateway.drain(600)

    async def test_silent_connection(
        self, client: httpx.AsyncClient, gateway: GatewayServer
    ) -> None:
        """A connection without a complete request does not delay the drain."""
        reader, silent = await asyncio.open_connection("127.0.0.1", gateway.port)
        _, half = await asyncio.open_connection("127.0.0.1", gateway.port)
        half.write(b"GET /healthz HTTP/1.1\r\n")
        await half.drain()
        assert (await client.get("/healthz")).status_code == 200  # so it has taken those before
        await gateway.drain(600)
        assert await reader.read() == b""
        for writer in (silent, half):
            writer.close()

    async def test_open_request(
        self, client: httpx.AsyncClient, gateway: GatewayServer, hanging: Hanging
    ) -> None:
        """During a drain an open request gets its response, and new ones are not accepted."""
        request = asyncio.create_task(client.get("/helloworld/Ada"))
        await hanging.asked.wait()
        draining = asyncio.create_task(gateway.drain(600))
        await until_stopping(client)
        hanging.released.set()
        await draining
        response = await request
        assert (response.status_code, response.json()) == (200, {"message": "Hello Ada"})

    @pytest.mark.parametrize("grace", [0.0, 0.1])
    async def test_end_of_grace(
        self,
        client: httpx.AsyncClient,
        gateway: GatewayServer,
        hanging: Hanging,
        caplog: pytest.LogCaptureFixture,
        grace: float,
    ) -> None:
        """A request that is open at the end of the grace period gets a 503, without a traceback."""
        caplog.set_level(logging.INFO)
        request = asyncio.create_task(client.get("/helloworld/Ada"))
        await hanging.asked.wait()
        await gateway.drain(grace)
        response = await request
        assert (response.status_code, response.json()) == (503, SHUTTING_DOWN)
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

    async def test_close_while_draining(
        self, client: httpx.AsyncClient, gateway: GatewayServer, hanging: Hanging
    ) -> None:
        """During a drain, close ends the wait, and may be called again."""
        request = asyncio.create_task(client.get("/helloworld/Ada"))
        await hanging.asked.wait()
        draining = asyncio.create_task(gateway.drain(600))
        await until_stopping(client)
        assert not draining.done()
        await gateway.close()
        await draining
        assert (await request).status_code == 503
        await gateway.close()

    async def test_port_is_free(self, gateway: GatewayServer) -> None:
        """After close the port can be listened on again."""
        await gateway.close()
        again = GatewayServer(create_app())
        await again.start("127.0.0.1", gateway.port)
        assert again.port == gateway.port
        await again.close()

"""Gateways in this process and as processes, and HTTP clients of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette

from chatify_stream import ChatServer
from chatify_stream.gateway import GatewayServer, create_app

from ..e2e.processes import ListeningProcess, ServerProcess

SECONDS = 60.0
"""What a client waits at the most; also the gateways' timeout where it has no part in a test."""


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Serves an application; gives a client of it."""
    gateway = GatewayServer(app)
    await gateway.start("127.0.0.1", 0)
    try:
        async with http_client(f"127.0.0.1:{gateway.port}") as client:
            yield client
    finally:
        await gateway.close()


@asynccontextmanager
async def gateway_to(server: ChatServer) -> AsyncIterator[httpx.AsyncClient]:
    """Starts a chat server and a gateway to it; gives a client of the gateway."""
    async with server:
        await server.start("127.0.0.1", 0)
        async with serving(create_app(f"127.0.0.1:{server.port}", SECONDS)) as client:
            yield client


def http_client(address: str) -> httpx.AsyncClient:
    """A client without the proxies of the environment, with as many connections as it needs."""
    return httpx.AsyncClient(
        base_url=f"http://{address}",
        timeout=SECONDS,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    )


def gateway_process(target: str, *args: str) -> ServerProcess:
    """`chatify-stream gateway`, with time to spare unless `args` say otherwise."""
    options = [] if "--timeout" in args else ["--timeout", f"{SECONDS:g}"]
    return ServerProcess("gateway", "--target", target, *options, *args)


def request(
    gateway: ListeningProcess, path: str, method: str = "GET", **headers: str
) -> httpx.Response:
    """One request on a connection of its own."""
    url = f"http://{gateway.address}{path}"
    return httpx.request(method, url, headers=headers, timeout=SECONDS, trust_env=False)


def error(code: int, reason: str, message: str, **metadata: str) -> dict[str, object]:
    """The body of an error."""
    return {"code": code, "reason": reason, "message": message, "metadata": metadata}

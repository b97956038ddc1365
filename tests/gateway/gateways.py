"""Gateways in this process and as processes, and HTTP clients of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette

from chatify_stream import ChatServer
from chatify_stream.gateway import GatewayServer, create_app

from ..e2e.processes import ListeningProcess, ServerProcess

SECONDS = 60.0
"""Seconds that a client waits, and the timeout of gateways in tests that do not depend on it."""


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an application and return a client of it."""
    gateway = GatewayServer(app)
    await gateway.start("127.0.0.1", 0)
    try:
        async with http_client(f"127.0.0.1:{gateway.port}") as client:
            yield client
    finally:
        await gateway.close()


@asynccontextmanager
async def gateway_to(server: ChatServer) -> AsyncIterator[httpx.AsyncClient]:
    """Start a chat server and a gateway to it, and return a client of the gateway."""
    async with server:
        await server.start("127.0.0.1", 0)
        async with serving(create_app(f"127.0.0.1:{server.port}", SECONDS)) as client:
            yield client


def http_client(address: str) -> httpx.AsyncClient:
    """Return a client that ignores proxy settings and may open any number of connections."""
    return httpx.AsyncClient(
        base_url=f"http://{address}",
        timeout=SECONDS,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    )


def gateway_process(target: str, *args: str) -> ServerProcess:
    """Start `chatify-stream gateway` with a long timeout, unless `args` set another."""
    options = [] if "--timeout" in args else ["--timeout", f"{SECONDS:g}"]
    return ServerProcess("gateway", "--target", target, *options, *args)


def request(
    gateway: ListeningProcess, path: str, method: str = "GET", **headers: str
) -> httpx.Response:
    """Send one request on its own connection."""
    url = f"http://{gateway.address}{path}"
    return httpx.request(method, url, headers=headers, timeout=SECONDS, trust_env=False)


def error(code: int, reason: str, message: str, **metadata: str) -> dict[str, object]:
    """Return the body of an error."""
    return {"code": code, "reason": reason, "message": message, "metadata": metadata}

"""The HTTP gateway: an ASGI application that is one more client of the chat server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..address import parse_address
from ..client import Channel, ChatClient, Status
from .errors import EXCEPTION_HANDLERS, error_response

__all__ = ["create_app"]

HELLOWORLD = "/helloworld/"

CONNECT_SHARE = 0.75
"""The part of the timeout that connecting may take, so that its failure is told as such."""


def create_app(target: str = "localhost:9000", timeout: float = 2.0) -> Starlette:
    """The gateway to the chat server at `target`, as an ASGI application with a lifespan.

    `timeout`: seconds that the chat server has to answer a request. All requests share one
    connection, which is made again when it was lost. Raises `ValueError` for a bad target.
    """
    address = parse_address(target)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Channel(
            address.host, address.port, connect_timeout=timeout * CONNECT_SHARE
        ) as channel:
            app.state.channel = channel
            yield

    async def helloworld(request: Request) -> Response:
        """Sends the name through a Chat stream; answers with its reply."""
        segment = _raw_path(request).removeprefix(HELLOWORLD.encode())
        if not segment or b"/" in segment:
            raise HTTPException(404)
        try:
            name = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            message = f"the name {segment.decode('ascii', 'replace')} is not percent-encoded UTF-8"
            return error_response(400, Status.INVALID_ARGUMENT.name, message)
        async with ChatClient(request.app.state.channel, timeout=timeout) as chat:
            await chat.send(name)
            reply = await chat.close_and_recv()
        if reply is None:
            message = "the chat server ended the call without a reply"
            return error_response(500, Status.INTERNAL.name, message)
        return JSONResponse({"message": reply.message})

    async def healthz(request: Request) -> Response:
        """Whether the gateway itself is alive, with or without the chat server."""
        return JSONResponse({"status": "SERVING"})

    named = Route(f"{HELLOWORLD}{{name:path}}", helloworld, methods=["GET"])
    # Starlette's own takes no name with a line break in it.
    named.path_regex = re.compile(f"{HELLOWORLD}(?P<name>.*)", re.DOTALL)
    app = Starlette(
        routes=[named, Route("/healthz", healthz, methods=["GET"])],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # /helloworld is not /helloworld/ without a name
    return app


def _raw_path(request: Request) -> bytes:
    """The path as it came, so that a %2F in a name is not taken for a slash."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path: bytes = raw.partition(b"?")[0]
    return path.removeprefix(request.scope.get("root_path", "").encode())

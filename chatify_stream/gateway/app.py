"""The HTTP gateway: an ASGI application that is one more client of the chat server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..address import parse_target
from ..client import Backoff, Balancing, Channel, ChatClient, ClientTLS, Status, Token
from .errors import EXCEPTION_HANDLERS, error_response

__all__ = ["create_app"]

HELLOWORLD = "/helloworld/"

BACKOFF = Backoff(maximum=5.0)
"""A chat server that could not be reached for long is found soon after it is back."""


def create_app(
    target: str | Sequence[str] = "localhost:9000",
    timeout: float = 2.0,
    balancing: Balancing = "pick_first",
    token: Token | None = None,
    ssl: ClientTLS | None = None,
) -> Starlette:
    """The gateway to the chat servers at `target`, as an ASGI application with a lifespan.

    `timeout`: seconds that a chat server has to answer a request. `target`, `balancing` and `ssl`
    are as for `Channel`, which all requests share; `token` is the gateway's own. Raises
    `ValueError` for a bad target.
    """
    parse_target(target)  # before the lifespan

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Channel(
            target=target,
            balancing=balancing,
            backoff=BACKOFF,
            connect_timeout=timeout,
            ssl=ssl,
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
        async with ChatClient(request.app.state.channel, timeout=timeout, token=token) as chat:
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

"""The HTTP gateway: an ASGI application that is a client of the chat server.

Errors are JSON: `{"code", "reason", "message", "metadata"}`. `code` is the HTTP status and `reason`
the name of the gRPC status. `metadata` holds the text values that the chat server sent with the
status.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..address import parse_target
from ..client import Backoff, Balancing, Channel, ChatClient, ClientTLS, Status, Token
from ..errors import CallError, ClosedError

HELLOWORLD = "/helloworld/"

BACKOFF = Backoff(maximum=5.0)
"""A short maximum, so that a chat server that was unreachable is found soon after it returns."""

HTTP_STATUS = {
    Status.CANCELLED: 499,  # "client closed request" of nginx; HTTP defines no status for it
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}


def create_app(
    target: str | Sequence[str] = "localhost:9000",
    timeout: float = 2.0,
    balancing: Balancing = "pick_first",
    token: Token | None = None,
    ssl: ClientTLS | None = None,
) -> Starlette:
    """Return the gateway to the chat servers at `target`, an ASGI application with a lifespan.

    `timeout` is the time in seconds that a chat server may take to answer a request, and to accept
    a connection. `target`, `balancing` and `ssl` are those of the `Channel` that all requests
    share. `token` is the token, or the function that returns it, with which the gateway
    authenticates.

    Raises `ValueError` for a wrong target. The connection is made in the lifespan.
    """
    parse_target(target)  # so that an error is raised here and not in the lifespan

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Channel(
            target=target, balancing=balancing, backoff=BACKOFF, connect_timeout=timeout, ssl=ssl
        ) as channel:
            app.state.channel = channel
            yield

    async def helloworld(request: Request) -> Response:
        """Send the name through a Chat stream, and return the reply."""
        segment = _raw_path(request).removeprefix(HELLOWORLD.encode())
        if not segment or b"/" in segment:
            raise HTTPException(404)
        try:
            name = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            text = segment.decode("ascii", "replace")
            message = f"name {text}: not valid UTF-8; percent-encode it as UTF-8"
            return _error_response(400, Status.INVALID_ARGUMENT.name, message)
        async with ChatClient(request.app.state.channel, timeout=timeout, token=token) as chat:
            await chat.send(name)
            reply = await chat.close_and_recv()
        if reply is None:
            message = "the chat server ended the call without a reply"
            return _error_response(500, Status.INTERNAL.name, message)
        return JSONResponse({"message": reply.message})

    async def healthz(request: Request) -> Response:
        """Report that the gateway is alive, whether or not the chat server is."""
        return JSONResponse({"status": "SERVING"})

    named = Route(f"{HELLOWORLD}{{name:path}}", helloworld, methods=["GET"])
    # Starlette's own pattern does not match a name with a line break.
    named.path_regex = re.compile(f"{HELLOWORLD}(?P<name>.*)", re.DOTALL)
    app = Starlette(
        routes=[named, Route("/healthz", healthz, methods=["GET"])],
        exception_handlers={
            CallError: _call_error,
            ClosedError: _closed,
            HTTPException: _http_exception,
            Exception: _unexpected,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # /helloworld is not /helloworld/ without a name
    return app


def _raw_path(request: Request) -> bytes:
    """Return the path before decoding, so that a %2F in a name is not taken for a slash."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path: bytes = raw.partition(b"?")[0]
    return path.removeprefix(request.scope.get("root_path", "").encode())


def _error_response(
    code: int,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = {"code": code, "reason": reason, "message": message, "metadata": dict(metadata or {})}
    return JSONResponse(body, status_code=code, headers=headers)


async def _call_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CallError)  # noqa: S101 - as registered below
    text = {key: value for key, value in error.metadata.items() if isinstance(value, str)}
    code = HTTP_STATUS.get(error.status, 500)
    return _error_response(code, error.status.name, error.message or "", text)


async def _closed(request: Request, error: Exception) -> JSONResponse:
    return _error_response(503, Status.UNAVAILABLE.name, "the gateway is shutting down")


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered below
    code, message = error.status_code, error.detail
    path = request.scope["path"]  # request.url raises for some values of the header Host
    if code == 404:
        message = f"{path}: not found; use GET /helloworld/NAME"
    elif code == 405:
        message = f"{path}: {request.method} is not allowed; use GET"
    return _error_response(code, HTTPStatus(code).name, message, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return _error_response(500, Status.INTERNAL.name, "internal error of the gateway; see its log")

"""Errors over HTTP, as JSON: `{"code", "reason", "message", "metadata"}`.

`code` is the HTTP status and `reason` the name of the gRPC status. `metadata` holds the text values
that the chat server sent with the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..client import Status
from ..errors import CallError, ClosedError

__all__ = ["EXCEPTION_HANDLERS", "HTTP_STATUS", "error_response"]

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


def error_response(
    code: int,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response for an error."""
    body = {"code": code, "reason": reason, "message": message, "metadata": dict(metadata or {})}
    return JSONResponse(body, status_code=code, headers=headers)


async def _call_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CallError)  # noqa: S101 - as registered below
    text = {key: value for key, value in error.metadata.items() if isinstance(value, str)}
    code = HTTP_STATUS.get(error.status, 500)
    return error_response(code, error.status.name, error.message or "", text)


async def _closed(request: Request, error: Exception) -> JSONResponse:
    return error_response(503, Status.UNAVAILABLE.name, "the gateway is shutting down")


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered below
    code, message = error.status_code, error.detail
    path = request.scope["path"]  # request.url raises for some values of the header Host
    if code == 404:
        message = f"{path}: not found; use GET /helloworld/NAME"
    elif code == 405:
        message = f"{path}: {request.method} is not allowed; use GET"
    return error_response(code, HTTPStatus(code).name, message, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return error_response(500, Status.INTERNAL.name, "internal error of the gateway; see its log")


EXCEPTION_HANDLERS = {
    CallError: _call_error,
    ClosedError: _closed,
    HTTPException: _http_exception,
    Exception: _unexpected,
}

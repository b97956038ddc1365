"""Turn the headers and trailers of a response, or the loss of its stream, into status or error."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from grpclib.const import Status
from grpclib.exceptions import StreamTerminatedError
from h2.errors import ErrorCodes

from ...errors import (
    CallError,
    CancelledCallError,
    ClosedError,
    DeadlineExceededError,
    PeerProtocolError,
    UnavailableError,
    call_error,
)
from ..connection.connection import WireConnection
from ..connection.grpc_headers import decode_bin
from ..connection.stream import CutMessageError, MalformedError, StreamResetError
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    CodecBase,
    Headers,
    StatusDetailsCodecBase,
    decode_grpc_message,
)

log = logging.getLogger(__name__)

# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_STATUS_OF_HTTP = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    **dict.fromkeys(("429", "502", "503", "504"), Status.UNAVAILABLE),
}

# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_STATUS_OF_RESET: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


class CallStatus(NamedTuple):
    status: Status
    message: str | None
    details: Any
    """The decoded messages of `grpc-status-details-bin`, or None."""


def check_response(headers: Headers, codec: CodecBase) -> None:
    """Raise `PeerProtocolError` unless the headers begin a gRPC response."""
    fields = dict(headers)
    http_status = fields[":status"]
    if http_status != "200":
        status = _STATUS_OF_HTTP.get(http_status, Status.UNKNOWN)
        raise _not_grpc(status, f"Received :status = {http_status!r}")
    content_type = fields.get("content-type")
    if content_type is None:
        raise _not_grpc(Status.UNKNOWN, "Missing content-type header")
    base, _, subtype = content_type.partition("+")
    if base != GRPC_CONTENT_TYPE or (subtype or "proto") != codec.__content_subtype__:
        raise _not_grpc(Status.UNKNOWN, f"Invalid content-type: {content_type!r}")


def has_status(headers: Headers) -> bool:
    """Return whether response headers end the call, without trailers."""
    return any(name == "grpc-status" for name, _ in headers)


def read_status(headers: Headers, details_codec: StatusDetailsCodecBase | None) -> CallStatus:
    """Return the status in trailers. Raise `PeerProtocolError` if it is missing or invalid."""
    fields = dict(headers)
    number = fields.get("grpc-status")
    if number is None:
        raise _not_grpc(Status.UNKNOWN, "Missing grpc-status header")
    try:
        status = Status(int(number))
    except ValueError:
        raise _not_grpc(Status.UNKNOWN, f"Invalid grpc-status: {number!r}") from None
    if status is Status.OK:
        return CallStatus(status, None, None)
    message, details = fields.get("grpc-message"), None
    if message is not None:
        message = decode_grpc_message(message)
    encoded = fields.get("grpc-status-details-bin")
    if encoded is not None and details_codec is not None:
        try:
            details = details_codec.decode(status, message, decode_bin(encoded))
        except ValueError as error:  # status and message are still valid
            log.warning("ignoring the details of a status: not base64: %s", error)
    return CallStatus(status, message, details)


def _not_grpc(status: Status, reason: str) -> PeerProtocolError:
    return PeerProtocolError(status, f"the answer is not gRPC: {reason}")


def terminated_error(
    error: StreamTerminatedError,
    server: str,
    connection: WireConnection | None,
    *,
    is_deadline_over: bool,
) -> CallError:
    """Return the error for a stream that was terminated by `error`.

    `server`: its name for the text. `connection`: may know why it was lost.
    """
    if isinstance(error, CutMessageError):
        return CancelledCallError(Status.CANCELLED, str(error))
    if isinstance(error, StreamResetError):
        code = error.error_code
        if code == ErrorCodes.CANCEL and is_deadline_over:
            return deadline_exceeded()
        return call_error(_STATUS_OF_RESET.get(code, Status.INTERNAL), str(error))
    if isinstance(error, MalformedError):
        return PeerProtocolError(Status.INTERNAL, f"the answer of {server} is wrong: {error}")
    reason = f"the connection to {server} was lost"
    if connection is not None:
        if connection.peer_excess is not None:
            reason = f"{server} sent more than is allowed ({connection.peer_excess})"
        elif connection.peer_error is not None:
            reason = f"{server} does not speak gRPC ({connection.peer_error})"
            return PeerProtocolError(Status.INTERNAL, reason)
        elif connection.goaway is not None:
            reason = f"{server} ended the connection ({connection.goaway})"
    return UnavailableError(Status.UNAVAILABLE, reason)


def deadline_exceeded(trouble: str | None = None) -> DeadlineExceededError:
    """`trouble`: why no server could be reached until the deadline."""
    text = "the deadline of the call has passed" + (f": {trouble}" if trouble else "")
    return DeadlineExceededError(Status.DEADLINE_EXCEEDED, text)


def ended_by_server() -> ClosedError:
    return ClosedError("the server has ended the call: nothing more can be sent")


def cancelled_here() -> CancelledCallError:
    return CancelledCallError(Status.CANCELLED, "the call was cancelled on this side")

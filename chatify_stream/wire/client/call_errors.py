"""The errors of calls that end without a status from the server."""

from __future__ import annotations

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
from ..connection.stream import CutMessageError, MalformedError, StreamResetError

__all__ = ["cancelled_here", "deadline_exceeded", "ended_by_server", "terminated_error"]

# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_STATUS_OF_RESET: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


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
    if connection is not None and connection.peer_excess is not None:
        reason = f"{server} sent more than is allowed ({connection.peer_excess})"
        return UnavailableError(Status.UNAVAILABLE, reason)
    if connection is not None and connection.peer_error is not None:
        return PeerProtocolError(
            Status.INTERNAL, f"{server} does not speak gRPC ({connection.peer_error})"
        )
    if connection is not None and connection.goaway is not None:
        reason = f"{server} ended the connection ({connection.goaway})"
        return UnavailableError(Status.UNAVAILABLE, reason)
    return UnavailableError(Status.UNAVAILABLE, f"the connection to {server} was lost")


def deadline_exceeded(trouble: str | None = None) -> DeadlineExceededError:
    """`trouble`: why no server could be reached until the deadline."""
    text = "the deadline of the call has passed"
    return DeadlineExceededError(
        Status.DEADLINE_EXCEEDED, text if trouble is None else f"{text}: {trouble}"
    )


def ended_by_server() -> ClosedError:
    return ClosedError("the server has ended the call: nothing more can be sent")


def cancelled_here() -> CancelledCallError:
    return CancelledCallError(Status.CANCELLED, "the call was cancelled on this side")

"""Read the headers and trailers of a response. No I/O."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from grpclib.const import Status

from ...errors import PeerProtocolError
from ..connection.grpc_headers import decode_bin
from ..grpclib_internals import (
    GRPC_CONTENT_TYPE,
    CodecBase,
    Headers,
    StatusDetailsCodecBase,
    decode_grpc_message,
)

__all__ = ["CallStatus", "check_response", "has_status", "read_status"]

log = logging.getLogger(__name__)

# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_STATUS_OF_HTTP = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    "429": Status.UNAVAILABLE,
    "502": Status.UNAVAILABLE,
    "503": Status.UNAVAILABLE,
    "504": Status.UNAVAILABLE,
}


class CallStatus(NamedTuple):
    """The status of a call that has ended."""

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

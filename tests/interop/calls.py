"""The calls that the cases are made of, as a user of `wire.Channel` writes them."""

from __future__ import annotations

from typing import Any

from chatify_stream.wire import Cardinality, Channel, ClientStream

from .messages.grpc import testing as pb

__all__ = [
    "LARGE_RESPONSE",
    "SECONDS",
    "full_duplex",
    "large_request",
    "large_unary",
    "unary",
    "zeros",
]

SECONDS = 60.0
"""What no call takes but one that hangs."""

LARGE_REQUEST = 271_828
LARGE_RESPONSE = 314_159
SERVICE = "/grpc.testing.TestService"


def zeros(size: int) -> pb.Payload:
    return pb.Payload(body=bytes(size))


def large_request() -> pb.SimpleRequest:
    return pb.SimpleRequest(response_size=LARGE_RESPONSE, payload=zeros(LARGE_REQUEST))


async def large_unary(channel: Channel) -> None:
    """The call of many cases; it fails unless the whole response comes."""
    response = await pb.TestServiceStub(channel, timeout=SECONDS).unary_call(large_request())
    assert response.payload == zeros(LARGE_RESPONSE)


def unary(channel: Channel, *, timeout: float = SECONDS, **options: Any) -> ClientStream:
    """UnaryCall, for what the stub does not show."""
    return channel.request(
        f"{SERVICE}/UnaryCall",
        Cardinality.UNARY_UNARY,
        pb.SimpleRequest,
        pb.SimpleResponse,
        timeout=timeout,
        **options,
    )


def full_duplex(channel: Channel, *, timeout: float = SECONDS, **options: Any) -> ClientStream:
    """FullDuplexCall, for those who send when they have received."""
    return channel.request(
        f"{SERVICE}/FullDuplexCall",
        Cardinality.STREAM_STREAM,
        pb.StreamingOutputCallRequest,
        pb.StreamingOutputCallResponse,
        timeout=timeout,
        **options,
    )

"""The headers and trailers of a response, without a connection."""

from __future__ import annotations

import base64
import logging

import pytest

from chatify_stream.errors import PeerProtocolError, Status
from chatify_stream.messages.google.protobuf import Any
from chatify_stream.wire import ProtoCodec, StatusDetailsCodec
from chatify_stream.wire.client.response import check_response, has_status, read_status

OK = [(":status", "200"), ("content-type", "application/grpc")]


@pytest.mark.parametrize("subtype", ["", "+proto"])
def test_a_grpc_response(subtype: str) -> None:
    """A content-type with the codec's subtype is accepted, and without one."""
    check_response(
        [(":status", "200"), ("content-type", f"application/grpc{subtype}")], ProtoCodec()
    )


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ([(":status", "401")], Status.UNAUTHENTICATED, "Received :status = '401'"),
        ([(":status", "418")], Status.UNKNOWN, "Received :status = '418'"),
        ([(":status", "200")], Status.UNKNOWN, "Missing content-type"),
        (
            [(":status", "200"), ("content-type", "application/grpc+json")],
            Status.UNKNOWN,
            "Invalid",
        ),
        ([(":status", "200"), ("content-type", "text/html")], Status.UNKNOWN, "Invalid"),
    ],
)
def test_another_response(headers: list[tuple[str, str]], status: Status, reason: str) -> None:
    """The error has the gRPC status for the HTTP status, and the reason."""
    with pytest.raises(PeerProtocolError, match=f"the answer is not gRPC: {reason}") as caught:
        check_response(headers, ProtoCodec())
    assert caught.value.status is status


def test_a_status_in_headers() -> None:
    """Headers with a status end the call."""
    assert has_status([*OK, ("grpc-status", "5")])
    assert not has_status(OK)


def test_statuses() -> None:
    """Message and details are decoded, but for OK, which has none."""
    codec = StatusDetailsCodec()
    assert read_status([("grpc-status", "0"), ("grpc-message", "x")], codec) == (
        Status.OK,
        None,
        None,
    )
    assert read_status([("grpc-status", "5")], codec) == (Status.NOT_FOUND, None, None)
    headers = [("grpc-status", "5"), ("grpc-message", "no%21")]
    assert read_status(headers, codec) == (Status.NOT_FOUND, "no!", None)


@pytest.mark.parametrize("number", ["", "many", "17", "-1"])
def test_an_invalid_status(number: str) -> None:
    """A status that gRPC does not define is an error of the server."""
    with pytest.raises(PeerProtocolError, match="Invalid grpc-status"):
        read_status([("grpc-status", number)], None)


def test_no_status() -> None:
    """So are trailers without a status."""
    with pytest.raises(PeerProtocolError, match="Missing grpc-status header"):
        read_status([("key", "value")], None)


def test_details() -> None:
    """Details are decoded with the codec, if there is one."""
    codec = StatusDetailsCodec()
    details = [Any(type_url="a/b", value=b"c")]
    encoded = base64.b64encode(codec.encode(Status.NOT_FOUND, "no", details)).decode()
    headers = [("grpc-status", "5"), ("grpc-message", "no"), ("grpc-status-details-bin", encoded)]
    assert read_status(headers, codec).details == details
    assert read_status(headers, None).details is None


def test_details_that_are_not_base64(caplog: pytest.LogCaptureFixture) -> None:
    """They are ignored with a log line, and the status counts."""
    caplog.set_level(logging.WARNING)
    headers = [("grpc-status", "5"), ("grpc-status-details-bin", "%")]
    assert read_status(headers, StatusDetailsCodec()) == (Status.NOT_FOUND, None, None)
    assert "ignoring the details of a status" in caplog.text

"""Tests of wire/failure.py."""

from __future__ import annotations

import pytest

from chatify_stream.errors import PeerProtocolError, UnavailableError
from chatify_stream.wire.client.state import Failure, unreachable

REFUSED = Failure("Connection refused")
SILENT = Failure("no answer within 10 s")
HTTP_1 = Failure("does not speak gRPC (it began with b'HTTP/1.1')", not_grpc=True)


@pytest.mark.parametrize(
    ("failures", "text"),
    [
        ({"a:1": [("a:1", REFUSED)]}, "a:1: Connection refused"),
        ({"a:1": [("[::1]:1", REFUSED), ("127.0.0.1:1", REFUSED)]}, "a:1: Connection refused"),
        (
            {"a:1": [("[::1]:1", SILENT), ("127.0.0.1:1", REFUSED)]},
            "a:1: [::1]:1: no answer within 10 s, 127.0.0.1:1: Connection refused",
        ),
        (
            {"a:1": [("a:1", SILENT)], "b:2": [("b:2", REFUSED)]},
            "any of 2 addresses: a:1: no answer within 10 s; b:2: Connection refused",
        ),
        (
            {"a:1": [("a:1", HTTP_1)], "b:2": [("b:2", REFUSED)]},
            "any of 2 addresses: a:1: does not speak gRPC (it began with b'HTTP/1.1'); "
            "b:2: Connection refused",
        ),
    ],
)
def test_unavailable(failures: dict[str, list[tuple[str, Failure]]], text: str) -> None:
    """Each address is named as it was written, with its reason, or those of what it stands for."""
    error = unreachable(failures)
    assert type(error) is UnavailableError
    assert error.message == f"cannot connect to {text}"


def test_nobody_speaks_grpc() -> None:
    """When all that was reached is something else, that is the error."""
    error = unreachable({"a:1": [("a:1", HTTP_1)]})
    assert type(error) is PeerProtocolError
    assert error.message == "a:1 does not speak gRPC (it began with b'HTTP/1.1')"
    both = unreachable({"a:1": [("a:1", HTTP_1)], "b:2": [("b:2", HTTP_1)]})
    assert both.message == (
        "a:1 does not speak gRPC (it began with b'HTTP/1.1'); "
        "b:2 does not speak gRPC (it began with b'HTTP/1.1')"
    )

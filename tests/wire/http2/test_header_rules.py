"""Tests of wire/http2/header_rules.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire.http2.header_rules import request_fault, response_fault, trailers_fault

from ..raw import request_headers

REQUEST = request_headers()
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
WRONG_VALUE = "the value of x has surrounding spaces or a forbidden character"


class TestRequests:
    def test_valid(self) -> None:
        """The headers of gRPC clients are valid."""
        assert request_fault(REQUEST) is None
        assert request_fault([*REQUEST, ("x-bytes-bin", "AAE="), ("x-text", "a b\tc")]) is None

    @pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
    def test_required(self, name: str) -> None:
        """A required field must not be missing, empty, repeated or after regular fields."""
        without = [field for field in REQUEST if field[0] != name]
        (field,) = (field for field in REQUEST if field[0] == name)
        assert request_fault(without) == f"{name} is missing"
        assert request_fault([(name, ""), *without]) == f"{name} is missing"
        assert request_fault([field, *REQUEST]) == f"{name} is repeated"
        assert request_fault([*without, field]) == f"{name} follows regular fields"

    @pytest.mark.parametrize("name", [":status", ":protocol", ":", ":Method"])
    def test_unexpected(self, name: str) -> None:
        """A request has no other pseudo-header fields."""
        assert request_fault([(name, "x"), *REQUEST]) == f"{name!r} is not allowed here"


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("X-Upper", "x", "'X-Upper' is not a valid field name"),
        ("", "x", "'' is not a valid field name"),
        ("a b", "x", "'a b' is not a valid field name"),
        ("a:b", "x", "'a:b' is not a valid field name"),
        ("é", "x", "'é' is not a valid field name"),
        ("connection", "close", "connection is an HTTP/1 field"),
        ("transfer-encoding", "chunked", "transfer-encoding is an HTTP/1 field"),
        ("te", "gzip", "te is not 'trailers'"),
        ("x", "a\nb", WRONG_VALUE),
        ("x", "a\rb", WRONG_VALUE),
        ("x", "a\0b", WRONG_VALUE),
        ("x", " a", WRONG_VALUE),
        ("x", "a\t", WRONG_VALUE),
        ("x", "", None),
        ("x", "Ã¤\x80\x7f", None),
    ],
)
def test_any_field(name: str, value: str, fault: str | None) -> None:
    """The same fields are forbidden in requests, responses and trailers."""
    assert request_fault([*REQUEST, (name, value)]) == fault
    assert response_fault([*RESPONSE, (name, value)]) == fault
    assert trailers_fault([("grpc-status", "0"), (name, value)]) == fault


def test_responses() -> None:
    """A response has one status, first, and no pseudo-header field of a request."""
    assert response_fault(RESPONSE) is None
    assert response_fault(RESPONSE[1:]) == ":status is missing"
    assert response_fault([]) == ":status is missing"
    assert response_fault([*RESPONSE, (":status", "200")]) == ":status follows regular fields"
    assert response_fault([(":path", "/"), *RESPONSE]) == "':path' is not allowed here"


def test_trailers() -> None:
    """Trailers have no pseudo-header fields."""
    assert trailers_fault([(":status", "200")]) == "':status' is not allowed here"

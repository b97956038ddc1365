"""Tests of wire/fields.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire.http2.header_rules import request_fault, response_fault, trailers_fault

from ..raw import request_headers

REQUEST = request_headers()
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
WRONG_VALUE = "the value of x has spaces around it, or a forbidden character"


class TestRequests:
    def test_a_good_one(self) -> None:
        """What gRPC clients send is in order."""
        assert request_fault(REQUEST) is None
        assert request_fault([*REQUEST, ("x-bytes-bin", "AAE="), ("x-text", "a b\tc")]) is None

    @pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
    def test_what_has_to_be_there(self, name: str) -> None:
        """A field that every request has is missing, empty, twice, or too late."""
        without = [field for field in REQUEST if field[0] != name]
        (field,) = (field for field in REQUEST if field[0] == name)
        assert request_fault(without) == f"{name} is missing"
        assert request_fault([(name, ""), *without]) == f"{name} is missing"
        assert request_fault([field, *REQUEST]) == f"{name} comes twice"
        assert request_fault([*without, field]) == f"{name} comes after other fields"

    @pytest.mark.parametrize("name", [":status", ":protocol", ":", ":Method"])
    def test_what_may_not_be_there(self, name: str) -> None:
        """A pseudo-header that is not one of a request's."""
        assert request_fault([(name, "x"), *REQUEST]) == f"{name!r} is not allowed here"


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("X-Upper", "x", "'X-Upper' is not the name of a field"),
        ("", "x", "'' is not the name of a field"),
        ("a b", "x", "'a b' is not the name of a field"),
        ("a:b", "x", "'a:b' is not the name of a field"),
        ("é", "x", "'é' is not the name of a field"),
        ("connection", "close", "connection belongs to HTTP/1"),
        ("transfer-encoding", "chunked", "transfer-encoding belongs to HTTP/1"),
        ("te", "gzip", "te has to be 'trailers'"),
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
    """What is forbidden is so in every section, and what is allowed too."""
    assert request_fault([*REQUEST, (name, value)]) == fault
    assert response_fault([*RESPONSE, (name, value)]) == fault
    assert trailers_fault([("grpc-status", "0"), (name, value)]) == fault


def test_responses() -> None:
    """A response has a status first, once, and nothing of a request."""
    assert response_fault(RESPONSE) is None
    assert response_fault(RESPONSE[1:]) == ":status is missing"
    assert response_fault([]) == ":status is missing"
    assert response_fault([*RESPONSE, (":status", "200")]) == ":status comes after other fields"
    assert response_fault([(":path", "/"), *RESPONSE]) == "':path' is not allowed here"


def test_trailers() -> None:
    """Trailers have no pseudo-header at all."""
    assert trailers_fault([(":status", "200")]) == "':status' is not allowed here"

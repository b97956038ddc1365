"""Tests of wire/request.py: headers in, a request or a refusal out."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire import Status
from chatify_stream.wire.connection.grpc_headers import RefusalError, decode_bin, read_request

from ..raw import request_headers

METHODS = {"/test.Echo/Echo"}


def refusal(headers: list[tuple[str, str]]) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        read_request(headers, METHODS, "proto", 2**20)
    return caught.value


def test_a_plain_call() -> None:
    """A call with nothing but what gRPC asks for has no deadline and no metadata."""
    request = read_request(request_headers(), METHODS, "proto", 2**20)
    assert request.method == "/test.Echo/Echo"
    assert request.deadline is None
    assert request.user_agent is None
    assert len(request.metadata) == 0


@pytest.mark.parametrize("method", [None, "GET", "post"])
def test_the_method_is_post(method: str | None) -> None:
    """Another HTTP method, or none, is HTTP 405."""
    assert refusal(request_headers(__method=method)).http_status == 405


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"]
)
def test_good_content_types(content_type: str) -> None:
    """application/grpc is taken with and without its subtype."""
    request = read_request(request_headers(content_type=content_type), METHODS, "proto", 2**20)
    assert request.content_type == content_type


@pytest.mark.parametrize(
    "content_type", [None, "", "text/html", "application/grpcweb", "application/grpc+json"]
)
def test_bad_content_types(content_type: str | None) -> None:
    """Any other content-type is HTTP 415, and the text says which is right."""
    error = refusal(request_headers(content_type=content_type))
    assert error.http_status == 415
    assert "application/grpc+proto" in error.message


@pytest.mark.parametrize("te", [None, "gzip"])
def test_te_trailers_is_needed(te: str | None) -> None:
    """A call without `te: trailers` has passed something that loses trailers: HTTP 400."""
    assert refusal(request_headers(te=te)).http_status == 400


@pytest.mark.parametrize("path", [None, "/test.Echo/Nothing", "/", "test.Echo/Echo", "/é/é"])
def test_unknown_methods(path: str | None) -> None:
    """A path that is not served is UNIMPLEMENTED."""
    error = refusal(request_headers(__path=path))
    assert (error.status, error.http_status) == (Status.UNIMPLEMENTED, 200)
    assert (path or "") in error.message


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("1S", 1), ("2M", 120), ("1H", 3600), ("1500m", 1.5), ("10u", 1e-5), ("0n", 0)],
)
def test_good_timeouts(timeout: str, seconds: float) -> None:
    """grpc-timeout sets the deadline, in each of its units."""
    request = read_request(request_headers(grpc_timeout=timeout), METHODS, "proto", 2**20)
    assert request.deadline is not None
    remaining = request.deadline.time_remaining()
    assert max(0, seconds - 5) <= remaining <= seconds


@pytest.mark.parametrize(
    "timeout", ["", "1", "S", "-1S", "1.5S", "1s", "123456789S", "1S ", "١S", "1SS"]
)
def test_bad_timeouts(timeout: str) -> None:
    """A grpc-timeout that cannot be read is INVALID_ARGUMENT, and the text says how it goes."""
    error = refusal(request_headers(grpc_timeout=timeout))
    assert error.status is Status.INVALID_ARGUMENT
    assert "1 to 8 digits" in error.message


def test_metadata() -> None:
    """Metadata is what is neither HTTP's nor gRPC's own; repeated keys keep every value."""
    headers = [
        *request_headers(user_agent="grpc-test/1", grpc_encoding="identity"),
        ("room", "one"),
        ("room", "two"),
        ("raw-bin", base64.b64encode(b"\x00\xff").decode()),
    ]
    request = read_request(headers, METHODS, "proto", 2**20)
    assert list(request.metadata.items()) == [
        ("room", "one"),
        ("room", "two"),
        ("raw-bin", b"\x00\xff"),
    ]
    assert request.user_agent == "grpc-test/1"


def test_binary_values_in_one_header() -> None:
    """Values joined by commas, as a proxy may do, are taken apart."""
    headers = [*request_headers(), ("raw-bin", "AA==,/w")]
    metadata = read_request(headers, METHODS, "proto", 2**20).metadata
    assert metadata.getall("raw-bin") == [b"\x00", b"\xff"]


@pytest.mark.parametrize("value", ["!", "A", "AAAAA", "A=A=", "é"])
def test_bad_binary_values(value: str) -> None:
    """A `-bin` value that is not base64 is INVALID_ARGUMENT, and the text names its key."""
    error = refusal([*request_headers(), ("raw-bin", value)])
    assert error.status is Status.INVALID_ARGUMENT
    assert "raw-bin" in error.message


def test_text_that_is_not_ascii() -> None:
    """Metadata text that is not ASCII is INVALID_ARGUMENT, and the text says what to use."""
    error = refusal([*request_headers(), ("room", "grün")])
    assert error.status is Status.INVALID_ARGUMENT
    assert "-bin" in error.message


@given(st.binary(), st.booleans())
def test_binary_values_round_trip(value: bytes, padded: bool) -> None:
    """Every value comes back, whether its base64 is padded or not."""
    text = base64.b64encode(value).decode()
    assert decode_bin(text if padded else text.rstrip("=")) == value


@given(st.text())
def test_binary_values_never_surprise(text: str) -> None:
    """Any text is either decoded or refused with ValueError."""
    try:
        decoded = decode_bin(text)
    except ValueError:
        return
    assert decode_bin(base64.b64encode(decoded).decode()) == decoded

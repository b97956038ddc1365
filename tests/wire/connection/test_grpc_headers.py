"""Tests of wire/connection/grpc_headers.py."""

from __future__ import annotations

import base64

import pytest
from grpclib.metadata import decode_metadata
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire import Status
from chatify_stream.wire.connection.grpc_headers import (
    RefusalError,
    decode_bin,
    read_request,
    split_binary_values,
)

from ..raw import request_headers

METHODS = {"/test.Echo/Echo"}


def refusal(headers: list[tuple[str, str]]) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        read_request(headers, METHODS, "proto", 2**20)
    return caught.value


def test_a_plain_call() -> None:
    """A call with only the required headers has no deadline and no metadata."""
    request = read_request(request_headers(), METHODS, "proto", 2**20)
    assert request.method == "/test.Echo/Echo"
    assert request.deadline is None
    assert request.user_agent is None
    assert len(request.metadata) == 0


@pytest.mark.parametrize("method", [None, "GET", "post"])
def test_the_method_is_post(method: str | None) -> None:
    """A missing or other HTTP method is HTTP 405."""
    assert refusal(request_headers(__method=method)).http_status == 405


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"]
)
def test_good_content_types(content_type: str) -> None:
    """application/grpc is accepted with and without the subtype."""
    request = read_request(request_headers(content_type=content_type), METHODS, "proto", 2**20)
    assert request.content_type == content_type


@pytest.mark.parametrize(
    "content_type", [None, "", "text/html", "application/grpcweb", "application/grpc+json"]
)
def test_bad_content_types(content_type: str | None) -> None:
    """Any other content-type is HTTP 415 with the supported types."""
    error = refusal(request_headers(content_type=content_type))
    assert error.http_status == 415
    assert "application/grpc+proto" in error.message


@pytest.mark.parametrize("te", [None, "gzip"])
def test_te_trailers_is_required(te: str | None) -> None:
    """A call without `te: trailers` is HTTP 400: a proxy may drop trailers."""
    assert refusal(request_headers(te=te)).http_status == 400


@pytest.mark.parametrize("path", [None, "/test.Echo/Nothing", "/", "test.Echo/Echo", "/é/é"])
def test_unknown_methods(path: str | None) -> None:
    """An unknown path is UNIMPLEMENTED."""
    error = refusal(request_headers(__path=path))
    assert (error.status, error.http_status) == (Status.UNIMPLEMENTED, 200)
    assert (path or "") in error.message


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("1S", 1), ("2M", 120), ("1H", 3600), ("1500m", 1.5), ("10u", 1e-5), ("0n", 0)],
)
def test_good_timeouts(timeout: str, seconds: float) -> None:
    """grpc-timeout sets the deadline, in every unit."""
    request = read_request(request_headers(grpc_timeout=timeout), METHODS, "proto", 2**20)
    assert request.deadline is not None
    remaining = request.deadline.time_remaining()
    assert max(0, seconds - 5) <= remaining <= seconds


@pytest.mark.parametrize(
    "timeout", ["", "1", "S", "-1S", "1.5S", "1s", "123456789S", "1S ", "١S", "1SS"]
)
def test_bad_timeouts(timeout: str) -> None:
    """A malformed grpc-timeout is INVALID_ARGUMENT with the correct form."""
    error = refusal(request_headers(grpc_timeout=timeout))
    assert error.status is Status.INVALID_ARGUMENT
    assert "1 to 8 digits" in error.message


def test_metadata() -> None:
    """Metadata excludes headers of HTTP and gRPC, and keeps every value of a repeated key."""
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
    """Binary values joined by commas are split."""
    headers = [*request_headers(), ("raw-bin", "AA==,/w")]
    metadata = read_request(headers, METHODS, "proto", 2**20).metadata
    assert metadata.getall("raw-bin") == [b"\x00", b"\xff"]


@pytest.mark.parametrize("value", ["!", "A", "AAAAA", "A=A=", "é"])
def test_bad_binary_values(value: str) -> None:
    """A `-bin` value that is not base64 is INVALID_ARGUMENT with its key."""
    error = refusal([*request_headers(), ("raw-bin", value)])
    assert error.status is Status.INVALID_ARGUMENT
    assert "raw-bin" in error.message


def test_text_that_is_not_ascii() -> None:
    """Metadata text that is not ASCII is INVALID_ARGUMENT and the error suggests -bin."""
    error = refusal([*request_headers(), ("room", "grün")])
    assert error.status is Status.INVALID_ARGUMENT
    assert "-bin" in error.message


@given(st.binary(), st.booleans())
def test_binary_values_round_trip(value: bytes, padded: bool) -> None:
    """Every value survives a round trip, with and without padding."""
    text = base64.b64encode(value).decode()
    assert decode_bin(text if padded else text.rstrip("=")) == value


@given(st.text())
def test_any_binary_value(text: str) -> None:
    """Any text is decoded or raises ValueError."""
    try:
        decoded = decode_bin(text)
    except ValueError:
        return
    assert decode_bin(base64.b64encode(decoded).decode()) == decoded


@given(st.lists(st.binary(), min_size=1), st.booleans())
def test_split_binary_values(values: list[bytes], padded: bool) -> None:
    """grpclib decodes every value of a field that holds several."""
    texts = [base64.b64encode(value).decode() for value in values]
    if not padded:
        texts = [text.rstrip("=") for text in texts]
    metadata = decode_metadata(split_binary_values([("a", "b"), ("raw-bin", ",".join(texts))]))
    assert metadata.getall("raw-bin") == values
    assert metadata["a"] == "b"


@given(st.text())
def test_split_any_text(text: str) -> None:
    """Any text is rejected, or grpclib can decode the result."""
    try:
        headers = split_binary_values([("raw-bin", text)])
    except ValueError:
        return
    decode_metadata(headers)


@pytest.mark.parametrize("value", ["A", "AA,A", "!", "é"])
def test_split_invalid_base64(value: str) -> None:
    """A value that is not base64 is an error that names the key."""
    with pytest.raises(ValueError, match="metadata value of raw-bin is not valid base64"):
        split_binary_values([("raw-bin", value)])


@pytest.mark.parametrize("field", [("grpc-status-details-bin", "!"), ("raw", "!"), ("a", "A,A")])
def test_split_keeps_other_fields(field: tuple[str, str]) -> None:
    """Other fields are unchanged."""
    assert split_binary_values([field]) == [field]

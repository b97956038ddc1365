"""Tests of wire/response.py."""

from __future__ import annotations

import base64

import pytest
from grpclib.metadata import decode_metadata
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire.connection.grpc_headers import split_binary_values


@given(st.lists(st.binary(), min_size=1), st.booleans())
def test_values_are_taken_apart(values: list[bytes], padded: bool) -> None:
    """grpclib reads each value as it was sent, however many share the field."""
    texts = [base64.b64encode(value).decode() for value in values]
    if not padded:
        texts = [text.rstrip("=") for text in texts]
    metadata = decode_metadata(split_binary_values([("a", "b"), ("raw-bin", ",".join(texts))]))
    assert metadata.getall("raw-bin") == values
    assert metadata["a"] == "b"


@given(st.text())
def test_no_value_surprises(text: str) -> None:
    """Whatever the text: grpclib can read what comes out, or it is refused."""
    try:
        headers = split_binary_values([("raw-bin", text)])
    except ValueError:
        return
    decode_metadata(headers)


@pytest.mark.parametrize("value", ["A", "AA,A", "!", "é"])
def test_what_is_not_base64(value: str) -> None:
    """It is refused, and the text names its key."""
    with pytest.raises(ValueError, match="metadata value of raw-bin is not valid base64"):
        split_binary_values([("raw-bin", value)])


@pytest.mark.parametrize("field", [("grpc-status-details-bin", "!"), ("raw", "!"), ("a", "A,A")])
def test_what_is_no_binary_metadata(field: tuple[str, str]) -> None:
    """All else stays as it is."""
    assert split_binary_values([field]) == [field]

"""Tests of wire/client/state.py."""

from __future__ import annotations

import pytest

from chatify_stream.errors import PeerProtocolError, UnavailableError
from chatify_stream.wire.client.state import ChannelState, Failure, state_of_all, unreachable

IDLE, CONNECTING = ChannelState.IDLE, ChannelState.CONNECTING
READY, FAILED = ChannelState.READY, ChannelState.TRANSIENT_FAILURE

REFUSED = Failure("Connection refused")
SILENT = Failure("no answer within 10 s")
HTTP_1 = Failure("does not speak gRPC (it began with b'HTTP/1.1')", not_grpc=True)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([IDLE], IDLE),
        ([FAILED], FAILED),
        ([FAILED, FAILED], FAILED),
        ([FAILED, IDLE], IDLE),
        ([IDLE, CONNECTING, FAILED], CONNECTING),
        ([IDLE, CONNECTING, FAILED, READY], READY),
    ],
)
def test_state_of_all(states: list[ChannelState], state: ChannelState) -> None:
    """The state of a channel is the best state of its addresses."""
    assert state_of_all(states) is state


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
    """The error names each target as configured and its reasons."""
    error = unreachable(failures)
    assert type(error) is UnavailableError
    assert error.message == f"cannot connect to {text}"


def test_no_grpc_server() -> None:
    """If every peer speaks another protocol, the error is a PeerProtocolError."""
    error = unreachable({"a:1": [("a:1", HTTP_1)]})
    assert type(error) is PeerProtocolError
    assert error.message == "a:1 does not speak gRPC (it began with b'HTTP/1.1')"
    both = unreachable({"a:1": [("a:1", HTTP_1)], "b:2": [("b:2", HTTP_1)]})
    assert both.message == (
        "a:1 does not speak gRPC (it began with b'HTTP/1.1'); "
        "b:2 does not speak gRPC (it began with b'HTTP/1.1')"
    )

"""Tests of wire/connectivity.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire.client.state import ChannelState, state_of_all

IDLE, CONNECTING = ChannelState.IDLE, ChannelState.CONNECTING
READY, FAILED = ChannelState.READY, ChannelState.TRANSIENT_FAILURE


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
    """A channel is as its best address is, and has failed when all of them have."""
    assert state_of_all(states) is state

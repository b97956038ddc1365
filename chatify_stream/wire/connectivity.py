"""The states of a channel: gRPC's connectivity-semantics-and-api.md."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["ChannelState", "state_of_all"]


class ChannelState(Enum):
    """How a channel stands with its servers."""

    IDLE = "idle"
    """There is no connection, and no call has asked for one since the last was lost."""
    CONNECTING = "connecting"
    """An attempt to connect is under way, or a look-up of a host's name."""
    READY = "ready"
    """There is a connection that takes calls."""
    TRANSIENT_FAILURE = "transient failure"
    """No address could be reached; a call makes the next attempt when it is due."""
    SHUTDOWN = "shutdown"
    """The channel was closed."""


def state_of_all(states: Iterable[ChannelState]) -> ChannelState:
    """The state of a channel whose addresses have these; none of them is SHUTDOWN."""
    found = set(states)
    for state in (ChannelState.READY, ChannelState.CONNECTING, ChannelState.IDLE):
        if state in found:
            return state
    return ChannelState.TRANSIENT_FAILURE

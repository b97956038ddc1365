"""The state of a channel and of each of its addresses, and why an address is not reachable.

The states are those of gRPC's connectivity-semantics-and-api.md. `state_of_all` computes the state
of a channel from the states of its addresses. An address that is not READY has a `Failure`. When no
address is reachable, `unreachable` turns the failures into the error of the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from grpclib.const import Status

from ...errors import CallError, PeerProtocolError, UnavailableError


class ChannelState(Enum):
    """The connectivity of a channel."""

    IDLE = "idle"
    """Not connected, and no call has asked for a connection since the last loss."""
    CONNECTING = "connecting"
    """A connection attempt or a DNS lookup is in progress."""
    READY = "ready"
    """There is a connection that accepts calls."""
    TRANSIENT_FAILURE = "transient failure"
    """No address could be reached. A call starts the next attempt when its backoff is over."""
    SHUTDOWN = "shutdown"
    """The channel was closed."""


def state_of_all(states: Iterable[ChannelState]) -> ChannelState:
    """Return the state of a channel from the states of its addresses, none of them SHUTDOWN."""
    found = set(states)
    for state in (ChannelState.READY, ChannelState.CONNECTING, ChannelState.IDLE):
        if state in found:
            return state
    return ChannelState.TRANSIENT_FAILURE


@dataclass(frozen=True)
class Failure:
    reason: str
    retry_at_once: bool = False
    """A call may start the next attempt without backoff.

    Such an attempt fails quickly and costs no server anything: nothing listens at the address, or
    the server has gone away.
    """
    not_grpc: bool = False
    """The peer is not a gRPC server. Then `reason` continues a sentence that starts with it."""


LOST = Failure("the connection was lost", retry_at_once=True)
PENDING = Failure("no answer yet")


def unreachable(failures: Mapping[str, Sequence[tuple[str, Failure]]]) -> CallError:
    """Return the error that names each target and why it cannot be reached.

    `failures` maps each target as configured to its addresses and their failures. The addresses of
    a target are listed if their reasons differ.
    """
    everything = [failure for each in failures.values() for _, failure in each]
    if everything and all(failure.not_grpc for failure in everything):
        text = "; ".join(f"{target} {_reason(each)}" for target, each in failures.items())
        return PeerProtocolError(Status.INTERNAL, text)
    texts = [f"{target}: {_reason(each)}" for target, each in failures.items()]
    which = "" if len(texts) == 1 else f"any of {len(texts)} addresses: "
    return UnavailableError(Status.UNAVAILABLE, f"cannot connect to {which}{'; '.join(texts)}")


def _reason(failures: Sequence[tuple[str, Failure]]) -> str:
    reasons = dict.fromkeys(failure.reason for _, failure in failures)
    if len(reasons) == 1:
        return next(iter(reasons))
    return ", ".join(f"{address}: {failure.reason}" for address, failure in failures)

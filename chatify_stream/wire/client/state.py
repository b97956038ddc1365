"""The states of a channel: gRPC's connectivity-semantics-and-api.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from grpclib.const import Status

from ...errors import CallError, PeerProtocolError, UnavailableError

__all__ = ["LOST", "PENDING", "ChannelState", "Failure", "state_of_all", "unreachable"]


@dataclass(frozen=True)
class Failure:
    """Why one attempt failed."""

    reason: str
    retry_at_once: bool = False
    """An attempt that fails so takes no time and burdens nobody: a call may make the next at once.

    Nobody listens there, or whoever did has gone.
    """
    not_grpc: bool = False
    """Somebody does, but it is no gRPC server; then `reason` goes on from its address."""


LOST = Failure("the connection was lost", retry_at_once=True)
PENDING = Failure("no answer yet")


def unreachable(failures: Mapping[str, Sequence[tuple[str, Failure]]]) -> CallError:
    """The error that names each address as it was written, and why it could not be reached.

    `failures` has under it the addresses that it stands for, such as those of a host's name. They
    are told one by one when they failed in different ways.
    """
    everything = [failure for each in failures.values() for _, failure in each]
    if everything and all(failure.not_grpc for failure in everything):
        text = "; ".join(f"{name} {_reason(each)}" for name, each in failures.items())
        return PeerProtocolError(Status.INTERNAL, text)
    texts = [f"{name}: {_reason(each)}" for name, each in failures.items()]
    which = "" if len(texts) == 1 else f"any of {len(texts)} addresses: "
    return UnavailableError(Status.UNAVAILABLE, f"cannot connect to {which}{'; '.join(texts)}")


def _reason(failures: Sequence[tuple[str, Failure]]) -> str:
    reasons = dict.fromkeys(failure.reason for _, failure in failures)
    if len(reasons) == 1:
        return next(iter(reasons))
    return ", ".join(f"{address}: {failure.reason}" for address, failure in failures)


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

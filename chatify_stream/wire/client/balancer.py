"""Load balancing: decide which addresses to connect and which connection gets a call. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from .state import ChannelState

Balancing = Literal["pick_first", "round_robin"]
"""The names of gRPC's load balancing policies."""

ATTEMPT_DELAY = 0.25
"""Seconds until the next address is tried in parallel (RFC 8305, 5)."""

CONNECTED = (ChannelState.READY, ChannelState.CONNECTING)


class Candidate(Protocol):
    """An address that can be connected."""

    @property
    def state(self) -> ChannelState: ...


T = TypeVar("T", bound=Candidate)
C = TypeVar("C")


class Balancer(Protocol):
    """A load balancing policy. Candidates are in the order of the configured addresses."""

    attempt_delay: float
    """Seconds before the next candidate is tried in parallel."""

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        """Return the candidates that should be connected and are not."""

    def unneeded(self, candidates: Sequence[T]) -> list[T]:
        """Return the candidates that are connected or connecting and no longer needed."""

    def pick(self, connections: Sequence[C]) -> C:
        """Return the connection for the next call. At least one is passed."""


class PickFirst:
    """Send all calls to the first address that works, until its connection is lost."""

    attempt_delay = ATTEMPT_DELAY

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        if any(each.state is ChannelState.READY for each in candidates):
            return []
        return [each for each in candidates if each.state not in CONNECTED]

    def unneeded(self, candidates: Sequence[T]) -> list[T]:
        winner = next((each for each in candidates if each.state is ChannelState.READY), None)
        if winner is None:
            return []
        return [each for each in candidates if each is not winner and each.state in CONNECTED]

    def pick(self, connections: Sequence[C]) -> C:
        return connections[0]


class RoundRobin:
    """Connect every address and distribute calls in turn."""

    attempt_delay = 0.0

    def __init__(self) -> None:
        self._turn = 0

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        return [each for each in candidates if each.state not in CONNECTED]

    def unneeded(self, candidates: Sequence[T]) -> list[T]:
        return []

    def pick(self, connections: Sequence[C]) -> C:
        picked = connections[self._turn % len(connections)]
        self._turn += 1
        return picked


BALANCERS: dict[Balancing, type[Balancer]] = {"pick_first": PickFirst, "round_robin": RoundRobin}

"""Which addresses are connected, and which of the connections takes a call: decisions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from .state import ChannelState

__all__ = ["BALANCERS", "Balancer", "Balancing", "PickFirst", "RoundRobin"]

Balancing = Literal["pick_first", "round_robin"]
"""gRPC's names of its load balancing policies."""

HEAD_START = 0.25
"""Seconds until the next address is tried beside one that has not answered (RFC 8305, 5)."""

CONNECTED = (ChannelState.READY, ChannelState.CONNECTING)


class Candidate(Protocol):
    """An address, as a balancer sees it."""

    @property
    def state(self) -> ChannelState: ...


T = TypeVar("T", bound=Candidate)
C = TypeVar("C")


class Balancer(Protocol):
    """A policy. Candidates are in the order in which their addresses were given."""

    head_start: float
    """Seconds that an attempt has for itself before the next candidate is tried beside it."""

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        """Those that are to be connected, and are not."""

    def superfluous(self, candidates: Sequence[T]) -> list[T]:
        """Those that are connected, or connecting, and are not needed any more."""

    def pick(self, connections: Sequence[C]) -> C:
        """The one that takes the next call, of one or more that can."""


class PickFirst:
    """The first address that works has all calls, until its connection is lost."""

    head_start = HEAD_START

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        if any(each.state is ChannelState.READY for each in candidates):
            return []
        return [each for each in candidates if each.state not in CONNECTED]

    def superfluous(self, candidates: Sequence[T]) -> list[T]:
        winner = next((each for each in candidates if each.state is ChannelState.READY), None)
        if winner is None:
            return []
        return [each for each in candidates if each is not winner and each.state in CONNECTED]

    def pick(self, connections: Sequence[C]) -> C:
        return connections[0]


class RoundRobin:
    """Every address is connected, and calls go to each in turn."""

    head_start = 0.0

    def __init__(self) -> None:
        self._turn = 0

    def wanted(self, candidates: Sequence[T]) -> list[T]:
        return [each for each in candidates if each.state not in CONNECTED]

    def superfluous(self, candidates: Sequence[T]) -> list[T]:
        return []

    def pick(self, connections: Sequence[C]) -> C:
        picked = connections[self._turn % len(connections)]
        self._turn += 1
        return picked


BALANCERS: dict[Balancing, type[PickFirst] | type[RoundRobin]] = {
    "pick_first": PickFirst,
    "round_robin": RoundRobin,
}

"""Tests of wire/client/balancer.py."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from chatify_stream.wire.client.balancer import BALANCERS, PickFirst, RoundRobin
from chatify_stream.wire.client.state import ChannelState

IDLE, CONNECTING = ChannelState.IDLE, ChannelState.CONNECTING
READY, FAILED = ChannelState.READY, ChannelState.TRANSIENT_FAILURE


@dataclass
class Candidate:
    state: ChannelState


def candidates(*states: ChannelState) -> list[Candidate]:
    return list(map(Candidate, states))


def test_names() -> None:
    """The policies have gRPC's names."""
    assert {"pick_first": PickFirst, "round_robin": RoundRobin} == BALANCERS


class TestPickFirst:
    @pytest.mark.parametrize(
        ("states", "wanted"),
        [
            ([IDLE, IDLE], [0, 1]),
            ([FAILED, CONNECTING, IDLE], [0, 2]),
            ([FAILED, READY, IDLE], []),
        ],
    )
    def test_wanted(self, states: list[ChannelState], wanted: list[int]) -> None:
        """All addresses are tried in order until one works."""
        everything = candidates(*states)
        assert PickFirst().wanted(everything) == [everything[number] for number in wanted]

    @pytest.mark.parametrize(
        ("states", "unneeded"),
        [
            ([CONNECTING, CONNECTING], []),
            ([CONNECTING, READY, CONNECTING, FAILED, IDLE], [0, 2]),
            ([READY, READY], [1]),
        ],
    )
    def test_unneeded(self, states: list[ChannelState], unneeded: list[int]) -> None:
        """Only the first address that works is needed."""
        everything = candidates(*states)
        found = PickFirst().unneeded(everything)
        assert [id(each) for each in found] == [id(everything[number]) for number in unneeded]

    def test_pick(self) -> None:
        """The first connection gets all calls."""
        policy = PickFirst()
        assert [policy.pick("ab") for _ in range(3)] == ["a", "a", "a"]


class TestRoundRobin:
    def test_wanted(self) -> None:
        """Every address is connected, independent of the others."""
        everything = candidates(READY, FAILED, CONNECTING, IDLE)
        assert RoundRobin().wanted(everything) == [everything[1], everything[3]]
        assert RoundRobin().unneeded(everything) == []

    def test_pick(self) -> None:
        """Connections take turns, also when their number changes."""
        policy = RoundRobin()
        assert [policy.pick("abc") for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
        assert {policy.pick("ab") for _ in range(2)} == {"a", "b"}
        assert policy.pick("a") == "a"

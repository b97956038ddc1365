"""Tests of wire/balancer.py."""

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
        """All are tried, in their order, until one of them works."""
        everyone = candidates(*states)
        assert PickFirst().wanted(everyone) == [everyone[number] for number in wanted]

    @pytest.mark.parametrize(
        ("states", "unneeded"),
        [
            ([CONNECTING, CONNECTING], []),
            ([CONNECTING, READY, CONNECTING, FAILED, IDLE], [0, 2]),
            ([READY, READY], [1]),
        ],
    )
    def test_unneeded(self, states: list[ChannelState], unneeded: list[int]) -> None:
        """The first that works is the only one that is needed."""
        everyone = candidates(*states)
        found = PickFirst().unneeded(everyone)
        assert [id(each) for each in found] == [id(everyone[number]) for number in unneeded]

    def test_pick(self) -> None:
        """The first takes all calls."""
        policy = PickFirst()
        assert [policy.pick("ab") for _ in range(3)] == ["a", "a", "a"]


class TestRoundRobin:
    def test_wanted(self) -> None:
        """Every address is to be connected, whether others are or not."""
        everyone = candidates(READY, FAILED, CONNECTING, IDLE)
        assert RoundRobin().wanted(everyone) == [everyone[1], everyone[3]]
        assert RoundRobin().unneeded(everyone) == []

    def test_pick(self) -> None:
        """Those that are there take turns, also when their number changes."""
        policy = RoundRobin()
        assert [policy.pick("abc") for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
        assert {policy.pick("ab") for _ in range(2)} == {"a", "b"}
        assert policy.pick("a") == "a"

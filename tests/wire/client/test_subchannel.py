"""Tests of wire/subchannel.py; tests/wire/client/test_pool.py has what several do together."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.address import Address
from chatify_stream.wire.client.backoff import QUICK, Attempts, Backoff
from chatify_stream.wire.client.resolver import Endpoint
from chatify_stream.wire.client.state import LOST, ChannelState
from chatify_stream.wire.client.subchannel import Subchannel
from chatify_stream.wire.connection.registry import Connections

from ..clock import Clock
from ..fake_dialer import REFUSED, FakeConnection, FakeDialer, settled

ADDRESS = "10.0.0.1:9000"


@pytest.fixture
def dialer() -> FakeDialer:
    return FakeDialer()


@pytest.fixture
def states() -> list[ChannelState]:
    """The states that the subchannel has reported, in their order."""
    return []


@pytest.fixture
async def subchannel(clock: Clock, dialer: FakeDialer, states: list[ChannelState]) -> Subchannel:
    async def dial(subchannel: Subchannel) -> FakeConnection:
        return await dialer.dial(
            subchannel.endpoint,
            connections=Connections(),
            on_capacity=lambda: None,
            on_lost=subchannel.lost,
        )

    subchannel = Subchannel(
        Endpoint(Address("10.0.0.1", 9000), ADDRESS, "10.0.0.1"),
        Attempts(Backoff(), clock, lambda: 0.5),
        dial=dial,
        spawn=asyncio.ensure_future,
        on_change=lambda: states.append(subchannel.state),
    )
    return subchannel


async def test_connected(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """It is idle, then connecting, then ready; idle again when the connection is lost."""
    assert subchannel.state is ChannelState.IDLE
    attempt = subchannel.start()
    await settled()
    assert subchannel.state is ChannelState.CONNECTING
    connection = await dialer.succeed(ADDRESS)
    assert attempt.done()
    assert subchannel.protocol is connection
    connection.lose()
    assert states == [ChannelState.READY, ChannelState.IDLE]
    assert subchannel.protocol is None
    assert subchannel.failure == LOST


async def test_scheduled(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """One that is about to be tried counts as connecting already."""
    subchannel.is_scheduled = True
    assert subchannel.state is ChannelState.CONNECTING
    subchannel.stop()
    assert subchannel.state is ChannelState.IDLE
    assert dialer.dialled == []


async def test_failed(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """A failed attempt is remembered until one succeeds and its connection is lost."""
    subchannel.start()
    await settled()
    await dialer.fail(ADDRESS, REFUSED)
    assert states == [ChannelState.TRANSIENT_FAILURE]
    assert subchannel.failure == REFUSED
    subchannel.start()
    await settled()
    (await dialer.succeed(ADDRESS)).lose()
    assert subchannel.state is ChannelState.IDLE


async def test_a_loss_that_was_noticed_late(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """A connection that takes no calls is none, also before it is reported lost."""
    subchannel.start()
    await settled()
    (await dialer.succeed(ADDRESS)).is_usable = False
    assert subchannel.protocol is None
    assert subchannel.state is ChannelState.IDLE


async def test_lost_at_once(subchannel: Subchannel, dialer: FakeDialer, clock: Clock) -> None:
    """A server that greets and goes, before any call, has failed; later, it has just gone."""
    for age, state in ((QUICK, ChannelState.IDLE), (0, ChannelState.TRANSIENT_FAILURE)):
        subchannel.start()
        await settled()
        connection = await dialer.succeed(ADDRESS)
        connection.is_unused = True
        clock.now += age
        connection.lose()
        assert subchannel.state is state
    assert not subchannel.attempts.is_due


async def test_another_connection_is_lost(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """The end of an earlier connection says nothing of the one there is."""
    subchannel.start()
    await settled()
    earlier = await dialer.succeed(ADDRESS)
    earlier.is_usable = False  # it has no number left for a new stream
    subchannel.start()
    await settled()
    later = await dialer.succeed(ADDRESS)
    assert earlier.is_closing
    earlier.lose()
    assert subchannel.protocol is later


async def test_stopped(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """Stopped, it gives up its attempt, and lets its connection go after the last call."""
    attempt = subchannel.start()
    await settled()
    subchannel.stop()
    await settled()
    assert attempt.cancelled()
    assert states == [ChannelState.IDLE]
    subchannel.start()
    await settled()
    await dialer.fail(ADDRESS, REFUSED)
    subchannel.start()
    await settled()
    connection = await dialer.succeed(ADDRESS)
    subchannel.stop()
    assert connection.is_closing
    assert subchannel.state is ChannelState.IDLE


async def test_a_broken_attempt(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """An attempt that ends in a way nobody thought of has failed like others, and is told."""
    attempt = subchannel.start()
    await settled()
    dialer._attempts[ADDRESS].set_exception(KeyError("bug"))
    await settled()
    assert isinstance(attempt.exception(), KeyError)
    assert subchannel.failure.reason == "the attempt broke (KeyError('bug'))"

"""Tests of single subchannels of wire/client/pool.py. test_pool.py tests several together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from chatify_stream.address import Address
from chatify_stream.wire.client.backoff import FAST_FAILURE, Attempts, Backoff
from chatify_stream.wire.client.pool import Subchannel
from chatify_stream.wire.client.resolver import Endpoint
from chatify_stream.wire.client.state import LOST, ChannelState
from chatify_stream.wire.connection.registry import Connections

from ..clock import Clock
from ..fake_dialer import REFUSED, FakeConnection, FakeDialer, settled

ADDRESS = "10.0.0.1:9000"


@pytest.fixture
def dialer() -> FakeDialer:
    return FakeDialer()


@pytest.fixture
def states() -> list[ChannelState]:
    """Return the states that the subchannel reports, in order."""
    return []


class Owner:
    def __init__(self, dialer: FakeDialer, states: list[ChannelState]) -> None:
        self._dialer = dialer
        self._states = states
        self.subchannel: Subchannel | None = None

    async def dial(self, subchannel: Subchannel) -> FakeConnection:
        return await self._dialer.dial(
            subchannel.endpoint,
            connections=Connections(),
            on_capacity=lambda: None,
            on_lost=subchannel.lost,
        )

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        return asyncio.ensure_future(work)

    def subchannel_changed(self) -> None:
        self._states.append(self.subchannel.state)


@pytest.fixture
async def subchannel(clock: Clock, dialer: FakeDialer, states: list[ChannelState]) -> Subchannel:
    owner = Owner(dialer, states)
    endpoint = Endpoint(Address("10.0.0.1", 9000), ADDRESS, "10.0.0.1")
    owner.subchannel = Subchannel(endpoint, Attempts(Backoff(), clock, lambda: 0.5), owner)
    return owner.subchannel


async def test_connected(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """It is idle, connecting, ready, and idle again after the connection is lost."""
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
    """A scheduled attempt counts as connecting."""
    subchannel.is_scheduled = True
    assert subchannel.state is ChannelState.CONNECTING
    subchannel.stop()
    assert subchannel.state is ChannelState.IDLE
    assert dialer.dialed == []


async def test_failed(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """A failure is kept until an attempt succeeds and its connection is lost."""
    subchannel.start()
    await settled()
    await dialer.fail(ADDRESS, REFUSED)
    assert states == [ChannelState.TRANSIENT_FAILURE]
    assert subchannel.failure == REFUSED
    subchannel.start()
    await settled()
    (await dialer.succeed(ADDRESS)).lose()
    assert subchannel.state is ChannelState.IDLE


async def test_unusable_connection(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """A connection that accepts no calls does not count, also before it is reported lost."""
    subchannel.start()
    await settled()
    (await dialer.succeed(ADDRESS)).is_usable = False
    assert subchannel.protocol is None
    assert subchannel.state is ChannelState.IDLE


async def test_lost_at_once(subchannel: Subchannel, dialer: FakeDialer, clock: Clock) -> None:
    """A server that closes at once, before any call, is a failure. Later, the state is idle."""
    for age, state in ((FAST_FAILURE, ChannelState.IDLE), (0, ChannelState.TRANSIENT_FAILURE)):
        subchannel.start()
        await settled()
        connection = await dialer.succeed(ADDRESS)
        connection.is_unused = True
        clock.now += age
        connection.lose()
        assert subchannel.state is state
    assert not subchannel.attempts.is_due


async def test_another_connection_is_lost(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """The loss of an earlier connection does not affect the current one."""
    subchannel.start()
    await settled()
    earlier = await dialer.succeed(ADDRESS)
    earlier.is_usable = False  # it has used up its stream ids
    subchannel.start()
    await settled()
    later = await dialer.succeed(ADDRESS)
    assert earlier.is_closing
    earlier.lose()
    assert subchannel.protocol is later


async def test_stopped(
    subchannel: Subchannel, dialer: FakeDialer, states: list[ChannelState]
) -> None:
    """stop() cancels the attempt, and closes the connection after its last call."""
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


async def test_unexpected_error(subchannel: Subchannel, dialer: FakeDialer) -> None:
    """An unexpected error is a failure, and is raised by the task for the log."""
    attempt = subchannel.start()
    await settled()
    dialer._attempts[ADDRESS].set_exception(KeyError("bug"))
    await settled()
    assert isinstance(attempt.exception(), KeyError)
    assert subchannel.failure.reason == "unexpected error (KeyError('bug'))"

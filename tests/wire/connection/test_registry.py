"""Tests of wire/connection/registry.py."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any, cast

import pytest

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.connection.protocol import WireProtocol
from chatify_stream.wire.connection.registry import LOG_INTERVAL, Connections


def connection() -> WireProtocol:
    """Return an object that stands for a connection."""
    return cast(WireProtocol, object())


def rate(burst: int, per_second: float) -> Limits:
    """Return limits on the rate of connections from one address."""
    return Limits(connection_rate_per_address=Rate(burst, per_second))


class TestRoom:
    async def test_in_all(self) -> None:
        """The total is limited, and a closed connection makes room."""
        connections = Connections(Limits(max_connections=2))
        first = connection()
        assert connections.add(first, "127.0.0.1")
        assert connections.add(connection(), None)
        assert not connections.add(connection(), "127.0.0.2")
        connections.discard(first)
        assert connections.add(connection(), "127.0.0.2")
        assert (len(connections), connections.opened, connections.refused) == (2, 3, 1)

    async def test_per_address(self) -> None:
        """The limit per address is independent of other addresses."""
        connections = Connections(Limits(max_connections_per_address=1))
        first = connection()
        assert connections.add(first, "127.0.0.1")
        assert not connections.add(connection(), "127.0.0.1")
        assert connections.add(connection(), "127.0.0.2")
        assert all(connections.add(connection(), None) for _ in range(3))
        connections.discard(first)
        connections.discard(first)
        assert connections.add(connection(), "127.0.0.1")
        assert not connections.add(connection(), "127.0.0.1")

    async def test_other_limits(self) -> None:
        """New limits apply to new connections. Open ones stay and count for their address."""
        connections = Connections()
        first, second = connection(), connection()
        assert connections.add(first, "127.0.0.1")
        assert connections.add(second, "127.0.0.1")
        connections.set_limits(Limits(max_connections_per_address=2))
        assert not connections.add(connection(), "127.0.0.1")
        connections.discard(first)
        assert connections.add(connection(), "127.0.0.1")
        connections.set_limits(Limits(max_connections=1))
        assert not connections.add(connection(), "127.0.0.2")
        assert len(connections) == 2

    async def test_refusals_do_not_flood_the_log(self, caplog: Any) -> None:
        """One line a second is logged, with the number of rejected connections."""
        now = 50.0
        connections = Connections(Limits(max_connections=1), clock=lambda: now)
        connections.add(connection())
        with caplog.at_level(logging.WARNING):
            for _ in range(10):
                connections.add(connection())
            now += LOG_INTERVAL
            connections.add(connection())
        assert [record.getMessage() for record in caplog.records] == [
            "rejected 1 connections: 1 are open",
            "rejected 10 connections: 1 are open",
        ]


class TestWaiting:
    async def test_until_all_are_closed(self) -> None:
        """The wait ends with the last connection."""
        connections = Connections()
        both = [connection(), connection()]
        for each in both:
            connections.add(each)
        waiting = asyncio.create_task(connections.all_closed(60))
        await asyncio.sleep(0)
        connections.discard(both[0])
        await asyncio.sleep(0)
        assert not waiting.done()
        connections.discard(both[1])
        await asyncio.wait_for(waiting, 10)

    @pytest.mark.parametrize("timeout", [0.001, -1.0])
    async def test_until_the_time_is_over(self, timeout: float) -> None:
        """The wait ends after its timeout."""
        connections = Connections()
        connections.add(connection())
        await asyncio.wait_for(connections.all_closed(timeout), 10)
        assert len(connections) == 1

    async def test_until_told_otherwise(self) -> None:
        """The wait ends when the event is set."""
        connections = Connections()
        connections.add(connection())
        enough = asyncio.Event()
        waiting = asyncio.create_task(connections.all_closed(60, unless=enough))
        await asyncio.sleep(0)
        enough.set()
        connections.wake()
        await asyncio.wait_for(waiting, 10)


class TestRate:
    async def test_of_one_address(self) -> None:
        """The rate of connections from one address is limited."""
        now = 50.0
        connections = Connections(rate(2, 1.0), clock=lambda: now)
        added = [connections.add(connection(), "192.0.2.1") for _ in range(3)]
        assert added == [True, True, False]
        assert connections.add(connection(), "192.0.2.2")
        now += 1
        added = [connections.add(connection(), "192.0.2.1") for _ in range(2)]
        assert added == [True, False]
        assert connections.refused_by == {"connection_rate_per_address": 2}
        assert (len(connections), connections.refused) == (4, 2)

    async def test_of_one_block(self) -> None:
        """IPv6 addresses of one 64-bit block count as one address."""
        limits = replace(rate(3, 1.0), max_connections_per_address=1)
        connections = Connections(limits, clock=lambda: 50.0)
        assert connections.add(connection(), "2001:db8::1")
        assert not connections.add(connection(), "2001:db8::2")
        assert connections.add(connection(), "2001:db8:0:1::1")
        assert not connections.add(connection(), "2001:db8::3")
        assert not connections.add(connection(), "2001:db8::4")
        assert connections.refused_by == {
            "max_connections_per_address": 2,
            "connection_rate_per_address": 1,
        }

    async def test_of_a_unix_socket(self) -> None:
        """Connections without an address are not limited."""
        connections = Connections(rate(1, 0.001), clock=lambda: 50.0)
        assert all(connections.add(connection(), None) for _ in range(5))

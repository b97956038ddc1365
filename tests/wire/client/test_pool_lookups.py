"""Tests of wire/client/pool.py with host names, whose lookups are faked."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.errors import ClosedError
from chatify_stream.wire.client.state import ChannelState

from ..fake_dialer import REFUSED, SILENT, FakeDialer, settled
from ..lookups import Lookups
from ..pools import Pools, call, failure, reached

A, B, C = "10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"


class TestNames:
    async def test_looked_up(self, pools: Pools, dialer: FakeDialer, lookups: Lookups) -> None:
        """A call that needs a connection looks the name up and tries all its addresses."""
        lookups.found["chat"] = ["10.0.0.1", "10.0.0.2"]
        async with pools("chat:7") as pool:
            assert lookups.asked == []
            waiting = await call(pool)
            assert pool.state is ChannelState.CONNECTING
            await dialer.fail("10.0.0.1:7", REFUSED)
            connection = await dialer.succeed("10.0.0.2:7")
            assert await waiting is connection
            await reached(pool)
            assert lookups.asked == ["chat"]

    async def test_repeated_lookup(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """A new connection starts with a new lookup."""
        lookups.found["chat"] = ["10.0.0.1"]
        async with pools("chat:7") as pool:
            await call(pool)
            (await dialer.succeed("10.0.0.1:7")).lose()
            lookups.found["chat"] = ["10.0.0.2"]
            await call(pool)
            assert dialer.under_way == {"10.0.0.2:7"}
            await dialer.succeed("10.0.0.2:7")
            assert await reached(pool) == "10.0.0.2:7"

    async def test_removed_address(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """An address that is no longer found is closed, and the others are kept."""
        lookups.found["chat"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        async with pools("chat:7", balancing="round_robin") as pool:
            await call(pool)
            first, second = [await dialer.succeed(f"10.0.0.{number}:7") for number in (1, 2)]
            await dialer.fail("10.0.0.3:7", SILENT)
            lookups.found["chat"] = ["10.0.0.2", "10.0.0.4"]
            pools.clock.now += 1
            await reached(pool)
            await settled()
            assert (first.is_closing, second.is_closing) == (True, False)
            assert dialer.under_way == {"10.0.0.4:7"}
            assert await reached(pool) == "10.0.0.2:7"

    async def test_unknown(self, pools: Pools, lookups: Lookups) -> None:
        """An unknown name fails the call, and is looked up again when that is due."""
        async with pools("chat:7") as pool:
            text = "cannot connect to chat:7: unknown host (Name or service not known)"
            assert await failure(await call(pool)) == text
            assert pool.state is ChannelState.TRANSIENT_FAILURE
            assert await failure(await call(pool)) == text
            assert lookups.asked == ["chat"]
            pools.clock.now += 1
            lookups.found["chat"] = ["10.0.0.1"]
            assert not (await call(pool)).done()
            assert lookups.asked == ["chat", "chat"]

    async def test_name_and_ip_address(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """An unknown name does not prevent other addresses from being tried."""
        async with pools("chat:7", A) as pool:
            waiting = await call(pool)
            await dialer.succeed(A)
            assert str(await waiting) == A
            await reached(pool)
            assert lookups.asked == ["chat"]

    async def test_calls_share_a_lookup(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """Calls during a lookup wait for it before any address is tried."""
        lookups.is_silent = True
        async with pools("chat:7", A) as pool:
            calls = [await call(pool) for _ in range(2)]
            assert (lookups.asked, dialer.dialed) == (["chat"], [])
            assert not any(task.done() for task in calls)
            pool.close()
            for task in calls:
                with pytest.raises(ClosedError):
                    await task

    async def test_unknown_name_and_ip_address(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """An unknown name is not looked up again because another address is tried."""
        async with pools("chat:7", A) as pool:
            for _ in range(2):
                trying = await call(pool)
                await dialer.fail(A, REFUSED)
                await failure(trying)
            assert (lookups.asked, dialer.dialed) == (["chat"], [A, A])

    async def test_slow_lookup(self, pools: Pools, dialer: FakeDialer, lookups: Lookups) -> None:
        """A lookup that was slow to fail does not delay calls when it is repeated."""
        lookups.is_silent = True
        dialer.timeout = 0.001
        async with pools("chat:7", A) as pool:
            trying = asyncio.create_task(pool.connection(wait_for_ready=False))
            while not lookups.asked:
                await asyncio.sleep(0)
            pools.clock.now += 10
            async with asyncio.timeout(10):
                while not dialer.under_way:
                    await asyncio.sleep(0)
            await dialer.fail(A, REFUSED)
            assert "no answer from DNS" in await failure(trying)
            dialer.timeout = 3600
            pools.clock.now += 10
            trying = await call(pool)
            assert lookups.asked == ["chat", "chat"]
            await dialer.succeed(A)
            assert str(await trying) == A

    async def test_two_names_of_one_address(
        self, pools: Pools, dialer: FakeDialer, lookups: Lookups
    ) -> None:
        """An address of two names is connected once."""
        lookups.found |= {"chat": ["10.0.0.1"], "talk": ["10.0.0.1"]}
        async with pools("chat:1", "talk:1", balancing="round_robin") as pool:
            trying = await call(pool)
            assert dialer.dialed == [A]
            await dialer.fail(A, REFUSED)
            assert await failure(trying) == (
                "cannot connect to any of 2 addresses: chat:1: Connection refused; "
                "talk:1: Connection refused"
            )

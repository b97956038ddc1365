"""Tests of wire/client/pool.py, with a fake dialer and a fake clock."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.errors import ClosedError
from chatify_stream.wire.client.backoff import FAST_FAILURE
from chatify_stream.wire.client.state import ChannelState

from ..fake_dialer import REFUSED, SILENT, FakeDialer, settled
from ..lookups import Lookups
from ..pools import AT_ONCE, Pools, call, failure, reached

A, B, C = "10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"


class TestOneAddress:
    async def test_a_call(self, pools: Pools, dialer: FakeDialer) -> None:
        """The first call connects, and later calls use the connection."""
        async with pools(A) as pool:
            assert pool.state is ChannelState.IDLE
            waiting = await call(pool)
            assert pool.state is ChannelState.CONNECTING
            connection = await dialer.succeed(A)
            assert await waiting is connection
            assert pool.state is ChannelState.READY
            assert await reached(pool) == A
            assert dialer.dialed == [A]

    async def test_calls_share_an_attempt(self, pools: Pools, dialer: FakeDialer) -> None:
        """All waiting calls share one attempt, also if one of them is cancelled."""
        async with pools(A) as pool:
            calls = [await call(pool) for _ in range(3)]
            calls[0].cancel()
            await dialer.succeed(A)
            assert [task.cancelled() or str(task.result()) for task in calls] == [True, A, A]
            assert dialer.dialed == [A]

    async def test_lost(self, pools: Pools, dialer: FakeDialer) -> None:
        """After a loss the next call reconnects immediately."""
        async with pools(A) as pool:
            await call(pool)
            (await dialer.succeed(A)).lose()
            assert pool.state is ChannelState.IDLE
            assert dialer.dialed == [A]
            await call(pool)
            await dialer.succeed(A)
            assert await reached(pool) == A

    async def test_refused(self, pools: Pools, dialer: FakeDialer) -> None:
        """If nothing listens, every call retries, so a restarted server is found at once."""
        async with pools(A) as pool:
            for _ in range(3):
                trying = await call(pool)
                await dialer.fail(A, REFUSED)
                assert await failure(trying) == f"cannot connect to {A}: Connection refused"
                assert pool.state is ChannelState.TRANSIENT_FAILURE
            trying = await call(pool)
            await dialer.succeed(A)
            assert str(await trying) == A

    async def test_in_backoff(self, pools: Pools, dialer: FakeDialer) -> None:
        """Until the next attempt is due, calls fail immediately with the last reason."""
        async with pools(A) as pool:
            trying = await call(pool)
            pools.clock.now += FAST_FAILURE / 2
            await dialer.fail(A, SILENT)
            text = f"cannot connect to {A}: no answer within 10 s"
            assert await failure(trying) == text
            for _ in range(3):
                pools.clock.now += 0.25
                assert await failure(await call(pool)) == text
            assert dialer.dialed == [A]
            pools.clock.now += 0.25
            trying = await call(pool)
            assert dialer.dialed == [A, A]
            await dialer.succeed(A)
            assert str(await trying) == A

    async def test_slow_to_fail(self, pools: Pools, dialer: FakeDialer) -> None:
        """A silent address delays one call only. Later attempts run without a call waiting."""
        async with pools(A) as pool:
            first = await call(pool)
            pools.clock.now += 10
            await dialer.fail(A, SILENT)
            text = f"cannot connect to {A}: no answer within 10 s"
            assert await failure(first) == text
            pools.clock.now += 1
            assert await failure(await call(pool)) == text
            assert dialer.under_way == {A}
            assert await failure(await call(pool)) == text
            assert dialer.dialed == [A, A]
            await dialer.succeed(A)
            assert await reached(pool) == A

    async def test_closes_after_settings(self, pools: Pools, dialer: FakeDialer) -> None:
        """A server that closes after its SETTINGS is not retried in a loop by one call."""
        async with pools(A) as pool:
            for _ in range(2):
                trying = asyncio.create_task(pool.connection(wait_for_ready=False))
                await settled()
                dialer._attempts[A].set_result(None)
                while A not in dialer.connections:
                    await asyncio.sleep(0)
                connection = dialer.connections.pop(A)
                connection.is_unused = True
                connection.lose()
                await settled()
                assert await failure(trying) == f"cannot connect to {A}: the connection was lost"
            assert dialer.dialed == [A, A]


class TestWaitForReady:
    async def test_it_waits(self, pools: Pools, dialer: FakeDialer) -> None:
        """The call waits through failures, and attempts start when they are due."""
        async with pools(A, initial=0.001) as pool:
            waiting = await call(pool, wait_for_ready=True)
            for _ in range(3):
                await dialer.fail(A, SILENT)
                assert not dialer.under_way
                assert pool.state is ChannelState.TRANSIENT_FAILURE
                pools.clock.now += 1
                async with asyncio.timeout(10):
                    while not dialer.under_way:
                        await asyncio.sleep(0)
            await dialer.succeed(A)
            assert str(await waiting) == A

    async def test_beside_a_call_that_does_not(self, pools: Pools, dialer: FakeDialer) -> None:
        """A failed attempt ends only the call that does not wait for ready."""
        async with pools(A) as pool:
            patient, hasty = await call(pool, wait_for_ready=True), await call(pool)
            await dialer.fail(A, REFUSED)
            assert await failure(hasty) == f"cannot connect to {A}: Connection refused"
            assert not patient.done()
            await call(pool)
            await dialer.succeed(A)
            assert str(await patient) == A

    async def test_cancelled(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call that is cancelled during a backoff leaves no task."""
        async with pools(A) as pool:
            waiting = await call(pool, wait_for_ready=True)
            await dialer.fail(A, SILENT)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}


class TestPickFirst:
    async def test_the_first_works(self, pools: Pools, dialer: FakeDialer) -> None:
        """The first address gets all calls, and the others are not tried."""
        async with pools(A, B, C) as pool:
            await call(pool)
            await dialer.succeed(A)
            assert [await reached(pool) for _ in range(3)] == [A, A, A]
            assert dialer.dialed == [A]

    async def test_the_first_is_dead(self, pools: Pools, dialer: FakeDialer) -> None:
        """After a failure the next address is tried, and calls stay with the first that works."""
        async with pools(A, B, C) as pool:
            waiting = await call(pool)
            await dialer.fail(A, REFUSED)
            assert dialer.under_way == {B}
            await dialer.succeed(B)
            assert str(await waiting) == B
            pools.clock.now += 1000
            assert await reached(pool) == B
            assert dialer.dialed == [A, B]

    async def test_the_first_is_silent(self, pools: Pools, dialer: FakeDialer) -> None:
        """If an address does not answer in time, the next is tried in parallel."""
        async with pools(A, B, C, attempt_delay=AT_ONCE) as pool:
            waiting = await call(pool)
            assert dialer.under_way == {A, B, C}
            await dialer.succeed(B)
            assert str(await waiting) == B
            assert dialer.under_way == set()
            assert pool.state is ChannelState.READY

    async def test_both_answer(self, pools: Pools, dialer: FakeDialer) -> None:
        """Of two addresses that answer at the same time, one is kept."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            await call(pool)
            for address in (B, A):
                dialer._attempts[address].set_result(None)
            await settled()
            kept = await reached(pool)
            assert {str(each): each.is_closing for each in dialer.connections.values()} == {
                kept: False
            } | {each: True for each in dialer.connections if each != kept}

    async def test_after_a_loss(self, pools: Pools, dialer: FakeDialer) -> None:
        """After a loss the addresses are tried again from the first."""
        async with pools(A, B) as pool:
            await call(pool)
            await dialer.fail(A, SILENT)
            (await dialer.succeed(B)).lose()
            waiting = await call(pool)
            assert dialer.dialed == [A, B, B]  # A is in backoff
            (await dialer.succeed(B)).lose()
            pools.clock.now += 2
            waiting.cancel()
            await call(pool)
            assert dialer.under_way == {A}

    async def test_all_fail(self, pools: Pools, dialer: FakeDialer) -> None:
        """If no address works, the error names each with its reason."""
        async with pools(A, B) as pool:
            trying = await call(pool)
            await dialer.fail(A, REFUSED)
            assert not trying.done()
            await dialer.fail(B, SILENT)
            assert pool.state is ChannelState.TRANSIENT_FAILURE
            assert await failure(trying) == (
                f"cannot connect to any of 2 addresses: {A}: Connection refused; "
                f"{B}: no answer within 10 s"
            )

    async def test_each_once(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call that does not wait for ready tries each address once."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            trying = await call(pool)
            await dialer.fail(A, SILENT)
            pools.clock.now += 10
            await dialer.fail(B, SILENT)
            await failure(trying)
            assert dialer.dialed == [A, B]

    async def test_one_is_silent_and_one_refuses(self, pools: Pools, dialer: FakeDialer) -> None:
        """An attempt at a silent address does not delay calls that try another."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            trying = await call(pool)
            pools.clock.now += 10
            await dialer.fail(B, REFUSED)
            await dialer.fail(A, SILENT)
            await failure(trying)
            pools.clock.now += 1
            trying = await call(pool)
            assert dialer.under_way == {A, B}
            await dialer.fail(B, REFUSED)
            assert "no answer" in await failure(trying)
            assert dialer.under_way == {A}


class TestRoundRobin:
    async def test_turns(self, pools: Pools, dialer: FakeDialer) -> None:
        """Every address is connected, and calls go to the ready ones in turn."""
        async with pools(A, B, C, balancing="round_robin") as pool:
            waiting = await call(pool)
            assert dialer.under_way == {A, B, C}
            await dialer.succeed(B)
            assert str(await waiting) == B
            assert await reached(pool) == B
            await dialer.succeed(A)
            await dialer.succeed(C)
            assert sorted([await reached(pool) for _ in range(6)]) == [A, A, B, B, C, C]

    async def test_one_is_lost(self, pools: Pools, dialer: FakeDialer) -> None:
        """A lost connection is skipped. The next call reconnects it without waiting."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            lost = await dialer.succeed(A)
            await dialer.succeed(B)
            lost.lose()
            assert pool.state is ChannelState.READY
            assert [await reached(pool) for _ in range(3)] == [B, B, B]
            assert dialer.under_way == {A}
            await dialer.succeed(A)
            assert {await reached(pool) for _ in range(2)} == {A, B}

    async def test_one_is_dead(self, pools: Pools, dialer: FakeDialer) -> None:
        """A dead address is retried when it is due, not by every call."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            await dialer.succeed(B)
            await dialer.fail(A, REFUSED)
            assert [await reached(pool) for _ in range(3)] == [B, B, B]
            assert dialer.dialed == [A, B]
            pools.clock.now += 1
            assert await reached(pool) == B
            assert dialer.under_way == {A}

    async def test_all_are_lost(self, pools: Pools, dialer: FakeDialer) -> None:
        """If all are lost, the next call waits for any of them."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            for address in (A, B):
                await dialer.succeed(address)
            for address in (A, B):
                dialer.connections[address].lose()
            waiting = await call(pool)
            await dialer.fail(A, REFUSED)
            assert not waiting.done()
            await dialer.succeed(B)
            assert str(await waiting) == B


class TestAvoid:
    async def test_another_connection(self, pools: Pools, dialer: FakeDialer) -> None:
        """The next call makes another connection. The avoided one ends with its calls."""
        async with pools(A) as pool:
            await call(pool)
            first = await dialer.succeed(A)
            pool.avoid(first)
            assert first.is_closing
            waiting = await call(pool)
            second = await dialer.succeed(A)
            assert await waiting is second
            pool.avoid(first)  # of which it is too late to say anything
            assert await (await call(pool)) is second

    async def test_another_address(self, pools: Pools, dialer: FakeDialer) -> None:
        """Other addresses come first, then the one that was avoided longest ago."""
        async with pools(A, B, C) as pool:
            for address in (A, B, C, A):
                await call(pool)
                assert dialer.under_way == {address}
                await dialer.succeed(address)
                pool.avoid(dialer.connections[address])

    async def test_names(self, pools: Pools, dialer: FakeDialer, lookups: Lookups) -> None:
        """The same holds for the addresses of a host name, which is looked up again."""
        lookups.found["chat"] = ["10.0.0.1", "10.0.0.2"]
        async with pools("chat:1") as pool:
            await call(pool)
            await dialer.succeed("10.0.0.1:1")
            pool.avoid(dialer.connections["10.0.0.1:1"])
            await call(pool)
            assert dialer.under_way == {"10.0.0.2:1"}

    async def test_no_other_works(self, pools: Pools, dialer: FakeDialer) -> None:
        """An avoided address is used if there is no other."""
        async with pools(A, B) as pool:
            await call(pool)
            pool.avoid(await dialer.succeed(A))
            waiting = await call(pool)
            await dialer.fail(B, REFUSED)
            await dialer.succeed(A)
            assert str(await waiting) == A

    async def test_turns(self, pools: Pools, dialer: FakeDialer) -> None:
        """With round_robin, an avoided address is reconnected and takes turns again."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            first = await dialer.succeed(A)
            await dialer.succeed(B)
            pool.avoid(first)
            assert await reached(pool) == B
            assert dialer.under_way == {A}
            await dialer.succeed(A)
            assert {await reached(pool), await reached(pool)} == {A, B}


class TestFreeStreams:
    async def test_full(self, pools: Pools, dialer: FakeDialer) -> None:
        """Calls over the stream limit of the server wait, and start in order."""
        async with pools(A) as pool:

            async def begin() -> None:
                (await pool.connection(wait_for_ready=False)).free_streams -= 1

            await call(pool)
            connection = await dialer.succeed(A)
            connection.free_streams = 1
            calls = [asyncio.create_task(begin()) for _ in range(4)]
            await settled()
            assert [task.done() for task in calls] == [True, False, False, False]
            connection.free_streams = 2
            dialer.on_capacity()
            await settled()
            assert [task.done() for task in calls] == [True, True, True, False]
            pool.close()
            with pytest.raises(ClosedError):
                await calls[3]

    async def test_unused_free_stream(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call that does not use its free stream leaves it to the next call."""
        async with pools(A) as pool:
            await call(pool)
            connection = await dialer.succeed(A)
            connection.free_streams = 0
            waiting = [await call(pool) for _ in range(2)]
            connection.free_streams = 1
            dialer.on_capacity()
            await settled()
            assert [task.done() for task in waiting] == [True, True]

    async def test_another_has_a_free_stream(self, pools: Pools, dialer: FakeDialer) -> None:
        """With several connections, a call goes to one with a free stream."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            (await dialer.succeed(A)).free_streams = 0
            await dialer.succeed(B)
            assert [await reached(pool) for _ in range(3)] == [B, B, B]

    async def test_waiting_for_a_free_stream(
        self, pools: Pools, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Waiting for a free stream starts no attempts and no timer."""
        async with pools(A, B) as pool:
            await call(pool)
            await dialer.fail(A, SILENT)
            (await dialer.succeed(B)).free_streams = 0
            timers = []
            monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.append)
            waiting = await call(pool, wait_for_ready=True)
            monkeypatch.undo()
            assert not waiting.done()
            assert (timers, dialer.dialed) == ([], [A, B])
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_lost_while_calls_wait(self, pools: Pools, dialer: FakeDialer) -> None:
        """Calls that wait for a free stream reconnect when the connection is lost."""
        async with pools(A) as pool:
            await call(pool)
            connection = await dialer.succeed(A)
            connection.free_streams = 0
            waiting = await call(pool)
            connection.lose()
            await settled()
            assert await dialer.succeed(A) is await waiting


class TestState:
    async def test_changes(self, pools: Pools, dialer: FakeDialer) -> None:
        """Waiting for another state returns the first change."""
        async with pools(A) as pool:
            watching = asyncio.create_task(pool.state_changed(ChannelState.IDLE))
            await settled()
            assert not watching.done()
            await call(pool)
            assert await watching is ChannelState.CONNECTING
            watching = asyncio.create_task(pool.state_changed(ChannelState.CONNECTING))
            connection = await dialer.succeed(A)
            assert await watching is ChannelState.READY
            watching = asyncio.create_task(pool.state_changed(ChannelState.READY))
            await settled()
            connection.lose()
            assert await watching is ChannelState.IDLE
            assert await pool.state_changed(ChannelState.READY) is ChannelState.IDLE

    async def test_closed(self, pools: Pools) -> None:
        """Closing is a change of the state, and the last one."""
        async with pools(A) as pool:
            watching = asyncio.create_task(pool.state_changed(ChannelState.IDLE))
            await settled()
            pool.close()
            assert await watching is ChannelState.SHUTDOWN
            assert pool.state is ChannelState.SHUTDOWN

    async def test_ready(self, pools: Pools, dialer: FakeDialer) -> None:
        """`ready` waits for a connection, with or without a free stream."""
        async with pools(A) as pool:
            waiting = asyncio.create_task(pool.ready(wait_for_ready=False))
            await settled()
            (await dialer.succeed(A)).free_streams = 0
            await waiting
            await pool.ready(wait_for_ready=False)

    async def test_failure_message(self, pools: Pools, dialer: FakeDialer) -> None:
        """failure_message has the reason while there is no connection."""
        async with pools(A) as pool:
            assert pool.failure_message is None
            await call(pool, wait_for_ready=True)
            await dialer.fail(A, REFUSED)
            assert pool.failure_message == f"cannot connect to {A}: Connection refused"
            await call(pool)
            await dialer.succeed(A)
            assert pool.failure_message is None


class TestClosing:
    @pytest.mark.parametrize("wait_for_ready", [False, True])
    async def test_while_connecting(self, pools: Pools, wait_for_ready: bool) -> None:
        """close() ends calls that wait for an attempt, and the attempt."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            waiting = await call(pool, wait_for_ready=wait_for_ready)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_while_looking_up(self, pools: Pools, lookups: Lookups) -> None:
        """close() ends calls that wait for a lookup."""
        lookups.is_silent = True
        async with pools("chat:7") as pool:
            waiting = await call(pool)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_in_backoff(self, pools: Pools, dialer: FakeDialer) -> None:
        """close() ends calls that wait for the next attempt."""
        async with pools(A) as pool:
            waiting = await call(pool, wait_for_ready=True)
            await dialer.fail(A, SILENT)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_while_calls_wait_for_a_free_stream(
        self, pools: Pools, dialer: FakeDialer
    ) -> None:
        """close() ends calls that wait for a free stream."""
        async with pools(A) as pool:
            await call(pool)
            (await dialer.succeed(A)).free_streams = 0
            waiting = await call(pool)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_closed(self, pools: Pools) -> None:
        """A closed pool stays closed and may be closed again."""
        async with pools(A) as pool:
            pool.close()
            pool.close()
            with pytest.raises(ClosedError):
                await pool.connection(wait_for_ready=True)
            await pool.wait_closed()
            await pool.wait_closed()

"""Tests of wire/pool.py, without network: a dialer that does as it is told, and a still clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatify_stream.address import parse_target
from chatify_stream.errors import ClosedError, UnavailableError
from chatify_stream.wire.client.backoff import FAST_FAILURE, Attempts, Backoff
from chatify_stream.wire.client.balancer import BALANCERS, Balancing
from chatify_stream.wire.client.pool import Pool
from chatify_stream.wire.client.resolver import ResolvedTarget
from chatify_stream.wire.client.state import ChannelState

from ..clock import Clock
from ..fake_dialer import REFUSED, SILENT, FakeConnection, FakeDialer, settled
from ..lookups import LookUps

A, B, C = "10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"

AT_ONCE, NEVER = 0.0, 3600.0
"""Head starts."""


class Pools:
    """Makes pools, and has what they work with."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.dialer = FakeDialer()

    @asynccontextmanager
    async def __call__(
        self,
        *target: str,
        balancing: Balancing = "pick_first",
        attempt_delay: float = NEVER,
        initial: float = 1.0,
    ) -> AsyncIterator[Pool]:
        def new_attempts() -> Attempts:
            return Attempts(Backoff(initial=initial), self.clock, lambda: 0.5)

        names = [
            ResolvedTarget.of_address(address, new_attempts()) for address in parse_target(target)
        ]
        balancer = BALANCERS[balancing]()
        if balancing == "pick_first":
            balancer.attempt_delay = attempt_delay
        pool = Pool(names, balancer, self.dialer, new_attempts)
        try:
            yield pool
        finally:
            pool.close()
            await pool.wait_closed()
            assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def pools(clock: Clock) -> Pools:
    return Pools(clock)


@pytest.fixture
def dialer(pools: Pools) -> FakeDialer:
    return pools.dialer


async def call(pool: Pool, *, wait_for_ready: bool = False) -> asyncio.Task[FakeConnection]:
    """A call that asks for a connection, and has gone as far as it can."""
    task = asyncio.create_task(pool.connection(wait_for_ready=wait_for_ready))
    await settled()
    return task


async def reached(pool: Pool) -> str:
    """The address whose connection takes a call now."""
    task = await call(pool)
    assert task.done()
    return str(task.result())


async def failure(task: asyncio.Task[FakeConnection]) -> str:
    assert task.done()
    with pytest.raises(UnavailableError) as caught:
        await task
    return str(caught.value.message)


class TestOneAddress:
    async def test_a_call(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call has the connection made; later ones find it."""
        async with pools(A) as pool:
            assert pool.state is ChannelState.IDLE
            waiting = await call(pool)
            assert pool.state is ChannelState.CONNECTING
            connection = await dialer.succeed(A)
            assert await waiting is connection
            assert pool.state is ChannelState.READY
            assert await reached(pool) == A
            assert dialer.dialled == [A]

    async def test_calls_share_an_attempt(self, pools: Pools, dialer: FakeDialer) -> None:
        """All calls that wait have the outcome of one attempt, whichever of them gives up."""
        async with pools(A) as pool:
            calls = [await call(pool) for _ in range(3)]
            calls[0].cancel()
            await dialer.succeed(A)
            assert [task.cancelled() or str(task.result()) for task in calls] == [True, A, A]
            assert dialer.dialled == [A]

    async def test_lost(self, pools: Pools, dialer: FakeDialer) -> None:
        """After a loss the next call has the connection made again, at once."""
        async with pools(A) as pool:
            await call(pool)
            (await dialer.succeed(A)).lose()
            assert pool.state is ChannelState.IDLE
            assert dialer.dialled == [A]
            await call(pool)
            await dialer.succeed(A)
            assert await reached(pool) == A

    async def test_refused(self, pools: Pools, dialer: FakeDialer) -> None:
        """Where nobody listens every call tries again: who comes back is found at once."""
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
        """Until the next attempt is due, calls fail at once with the reason of the last."""
        async with pools(A) as pool:
            trying = await call(pool)
            pools.clock.now += FAST_FAILURE / 2
            await dialer.fail(A, SILENT)
            text = f"cannot connect to {A}: no answer within 10 s"
            assert await failure(trying) == text
            for _ in range(3):
                pools.clock.now += 0.25
                assert await failure(await call(pool)) == text
            assert dialer.dialled == [A]
            pools.clock.now += 0.25
            trying = await call(pool)
            assert dialer.dialled == [A, A]
            await dialer.succeed(A)
            assert str(await trying) == A

    async def test_slow_to_fail(self, pools: Pools, dialer: FakeDialer) -> None:
        """An address that was silent costs one call its time; later attempts go on without any."""
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
            assert dialer.dialled == [A, A]
            await dialer.succeed(A)
            assert await reached(pool) == A

    async def test_greets_and_goes(self, pools: Pools, dialer: FakeDialer) -> None:
        """A server that greets and goes is not asked again and again by the same call."""
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
            assert dialer.dialled == [A, A]


class TestWaitForReady:
    async def test_it_waits(self, pools: Pools, dialer: FakeDialer) -> None:
        """The call waits through failures; the attempts are made when they are due."""
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
        """An attempt serves both kinds; its failure ends one of them."""
        async with pools(A) as pool:
            patient, hasty = await call(pool, wait_for_ready=True), await call(pool)
            await dialer.fail(A, REFUSED)
            assert await failure(hasty) == f"cannot connect to {A}: Connection refused"
            assert not patient.done()
            await call(pool)
            await dialer.succeed(A)
            assert str(await patient) == A

    async def test_given_up(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call that gives up in the middle of a backoff leaves nothing behind."""
        async with pools(A) as pool:
            waiting = await call(pool, wait_for_ready=True)
            await dialer.fail(A, SILENT)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}


class TestPickFirst:
    async def test_the_first_works(self, pools: Pools, dialer: FakeDialer) -> None:
        """The first address has all calls; the others are not even tried."""
        async with pools(A, B, C) as pool:
            await call(pool)
            await dialer.succeed(A)
            assert [await reached(pool) for _ in range(3)] == [A, A, A]
            assert dialer.dialled == [A]

    async def test_the_first_is_dead(self, pools: Pools, dialer: FakeDialer) -> None:
        """When one fails the next is tried, and calls stay with the first that works."""
        async with pools(A, B, C) as pool:
            waiting = await call(pool)
            await dialer.fail(A, REFUSED)
            assert dialer.under_way == {B}
            await dialer.succeed(B)
            assert str(await waiting) == B
            pools.clock.now += 1000
            assert await reached(pool) == B
            assert dialer.dialled == [A, B]

    async def test_the_first_is_silent(self, pools: Pools, dialer: FakeDialer) -> None:
        """One that has not answered after its head start has the next tried beside it."""
        async with pools(A, B, C, attempt_delay=AT_ONCE) as pool:
            waiting = await call(pool)
            assert dialer.under_way == {A, B, C}
            await dialer.succeed(B)
            assert str(await waiting) == B
            assert dialer.under_way == set()
            assert pool.state is ChannelState.READY

    async def test_both_answer(self, pools: Pools, dialer: FakeDialer) -> None:
        """Of two that answer at the same time one is kept."""
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
        """After a loss all that may be are tried again, from the first on."""
        async with pools(A, B) as pool:
            await call(pool)
            await dialer.fail(A, SILENT)
            (await dialer.succeed(B)).lose()
            waiting = await call(pool)
            assert dialer.dialled == [A, B, B]  # A is in backoff
            (await dialer.succeed(B)).lose()
            pools.clock.now += 2
            waiting.cancel()
            await call(pool)
            assert dialer.under_way == {A}

    async def test_all_fail(self, pools: Pools, dialer: FakeDialer) -> None:
        """When none works the error names each, and why."""
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
        """A call that does not wait for ready tries each address once, however long that takes."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            trying = await call(pool)
            await dialer.fail(A, SILENT)
            pools.clock.now += 10
            await dialer.fail(B, SILENT)
            await failure(trying)
            assert dialer.dialled == [A, B]

    async def test_one_is_silent_and_one_refuses(self, pools: Pools, dialer: FakeDialer) -> None:
        """The attempt at one that was silent does not hold up the calls that try the other."""
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
        """Every address is connected; calls go to those that are ready, in turn."""
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
        """One that is lost is left out; the next call has it made again, and does not wait."""
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
        """One that is dead is tried again when it is due, not by every call."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            await dialer.succeed(B)
            await dialer.fail(A, REFUSED)
            assert [await reached(pool) for _ in range(3)] == [B, B, B]
            assert dialer.dialled == [A, B]
            pools.clock.now += 1
            assert await reached(pool) == B
            assert dialer.under_way == {A}

    async def test_all_are_lost(self, pools: Pools, dialer: FakeDialer) -> None:
        """When all are lost the next call waits for any of them."""
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


class TestLeaving:
    async def test_another_connection(self, pools: Pools, dialer: FakeDialer) -> None:
        """The next call has another connection made; the one that was left ends with its calls."""
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
        """Others come first, of those that were left the one that has been for the longest."""
        async with pools(A, B, C) as pool:
            for address in (A, B, C, A):
                await call(pool)
                assert dialer.under_way == {address}
                await dialer.succeed(address)
                pool.avoid(dialer.connections[address])

    async def test_names(self, pools: Pools, dialer: FakeDialer, look_ups: LookUps) -> None:
        """So it is with the addresses of a name, which is looked up again."""
        look_ups.found["chat"] = ["10.0.0.1", "10.0.0.2"]
        async with pools("chat:1") as pool:
            await call(pool)
            await dialer.succeed("10.0.0.1:1")
            pool.avoid(dialer.connections["10.0.0.1:1"])
            await call(pool)
            assert dialer.under_way == {"10.0.0.2:1"}

    async def test_no_other_works(self, pools: Pools, dialer: FakeDialer) -> None:
        """One that was left is better than none."""
        async with pools(A, B) as pool:
            await call(pool)
            pool.avoid(await dialer.succeed(A))
            waiting = await call(pool)
            await dialer.fail(B, REFUSED)
            await dialer.succeed(A)
            assert str(await waiting) == A

    async def test_turns(self, pools: Pools, dialer: FakeDialer) -> None:
        """Where addresses take turns the one that was left has its turn again, connected anew."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            first = await dialer.succeed(A)
            await dialer.succeed(B)
            pool.avoid(first)
            assert await reached(pool) == B
            assert dialer.under_way == {A}
            await dialer.succeed(A)
            assert {await reached(pool), await reached(pool)} == {A, B}


class TestNames:
    async def test_looked_up(self, pools: Pools, dialer: FakeDialer, look_ups: LookUps) -> None:
        """A name is looked up when a call needs a connection, and all that it stands for tried."""
        look_ups.found["chat"] = ["10.0.0.1", "10.0.0.2"]
        async with pools("chat:7") as pool:
            assert look_ups.asked == []
            waiting = await call(pool)
            assert pool.state is ChannelState.CONNECTING
            await dialer.fail("10.0.0.1:7", REFUSED)
            connection = await dialer.succeed("10.0.0.2:7")
            assert await waiting is connection
            await reached(pool)
            assert look_ups.asked == ["chat"]

    async def test_looked_up_anew(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """When the connection has to be made anew, so has the look-up."""
        look_ups.found["chat"] = ["10.0.0.1"]
        async with pools("chat:7") as pool:
            await call(pool)
            (await dialer.succeed("10.0.0.1:7")).lose()
            look_ups.found["chat"] = ["10.0.0.2"]
            await call(pool)
            assert dialer.under_way == {"10.0.0.2:7"}
            await dialer.succeed("10.0.0.2:7")
            assert await reached(pool) == "10.0.0.2:7"

    async def test_what_is_gone(self, pools: Pools, dialer: FakeDialer, look_ups: LookUps) -> None:
        """An address that a name does not stand for any more is let go; the others are kept."""
        look_ups.found["chat"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        async with pools("chat:7", balancing="round_robin") as pool:
            await call(pool)
            first, second = [await dialer.succeed(f"10.0.0.{number}:7") for number in (1, 2)]
            await dialer.fail("10.0.0.3:7", SILENT)
            look_ups.found["chat"] = ["10.0.0.2", "10.0.0.4"]
            pools.clock.now += 1
            await reached(pool)
            await settled()
            assert (first.is_closing, second.is_closing) == (True, False)
            assert dialer.under_way == {"10.0.0.4:7"}
            assert await reached(pool) == "10.0.0.2:7"

    async def test_unknown(self, pools: Pools, look_ups: LookUps) -> None:
        """A name that is not known fails the call; it is not asked again until it is due."""
        async with pools("chat:7") as pool:
            text = "cannot connect to chat:7: unknown host (Name or service not known)"
            assert await failure(await call(pool)) == text
            assert pool.state is ChannelState.TRANSIENT_FAILURE
            assert await failure(await call(pool)) == text
            assert look_ups.asked == ["chat"]
            pools.clock.now += 1
            look_ups.found["chat"] = ["10.0.0.1"]
            assert not (await call(pool)).done()
            assert look_ups.asked == ["chat", "chat"]

    async def test_a_name_and_a_number(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """A name that is not known does not keep the other addresses from being tried."""
        async with pools("chat:7", A) as pool:
            waiting = await call(pool)
            await dialer.succeed(A)
            assert str(await waiting) == A
            await reached(pool)
            assert look_ups.asked == ["chat"]

    async def test_calls_share_a_look_up(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """Calls that come while a name is looked up wait for that; no address comes before it."""
        look_ups.is_silent = True
        async with pools("chat:7", A) as pool:
            calls = [await call(pool) for _ in range(2)]
            assert (look_ups.asked, dialer.dialled) == (["chat"], [])
            assert not any(task.done() for task in calls)
            pool.close()
            for task in calls:
                with pytest.raises(ClosedError):
                    await task

    async def test_unknown_beside_a_number(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """A name that is not known is not looked up again because another address is tried."""
        async with pools("chat:7", A) as pool:
            for _ in range(2):
                trying = await call(pool)
                await dialer.fail(A, REFUSED)
                await failure(trying)
            assert (look_ups.asked, dialer.dialled) == (["chat"], [A, A])

    async def test_a_slow_look_up(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """A look-up that took long to fail holds up nobody when it is done again."""
        look_ups.is_silent = True
        dialer.timeout = 0.001
        async with pools("chat:7", A) as pool:
            trying = asyncio.create_task(pool.connection(wait_for_ready=False))
            while not look_ups.asked:
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
            assert look_ups.asked == ["chat", "chat"]
            await dialer.succeed(A)
            assert str(await trying) == A

    async def test_two_names_of_one_address(
        self, pools: Pools, dialer: FakeDialer, look_ups: LookUps
    ) -> None:
        """An address that two names stand for is connected once."""
        look_ups.found |= {"chat": ["10.0.0.1"], "talk": ["10.0.0.1"]}
        async with pools("chat:1", "talk:1", balancing="round_robin") as pool:
            trying = await call(pool)
            assert dialer.dialled == [A]
            await dialer.fail(A, REFUSED)
            assert await failure(trying) == (
                "cannot connect to any of 2 addresses: chat:1: Connection refused; "
                "talk:1: Connection refused"
            )


class TestRoom:
    async def test_full(self, pools: Pools, dialer: FakeDialer) -> None:
        """Calls over the server's limit wait, and are let in as there is room, in their order."""
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

    async def test_a_place_that_is_not_taken(self, pools: Pools, dialer: FakeDialer) -> None:
        """A call that is let in and does not begin leaves its place to the next."""
        async with pools(A) as pool:
            await call(pool)
            connection = await dialer.succeed(A)
            connection.free_streams = 0
            waiting = [await call(pool) for _ in range(2)]
            connection.free_streams = 1
            dialer.on_capacity()
            await settled()
            assert [task.done() for task in waiting] == [True, True]

    async def test_another_has_room(self, pools: Pools, dialer: FakeDialer) -> None:
        """With several connections a call goes to one that has room."""
        async with pools(A, B, balancing="round_robin") as pool:
            await call(pool)
            (await dialer.succeed(A)).free_streams = 0
            await dialer.succeed(B)
            assert [await reached(pool) for _ in range(3)] == [B, B, B]

    async def test_waiting_for_room_alone(
        self, pools: Pools, dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who waits for room has no use for the addresses that failed, nor for a timer."""
        async with pools(A, B) as pool:
            await call(pool)
            await dialer.fail(A, SILENT)
            (await dialer.succeed(B)).free_streams = 0
            timers = []
            monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.append)
            waiting = await call(pool, wait_for_ready=True)
            monkeypatch.undo()
            assert not waiting.done()
            assert (timers, dialer.dialled) == ([], [A, B])
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_lost_while_calls_wait(self, pools: Pools, dialer: FakeDialer) -> None:
        """Calls that wait for room when the connection is lost have another one made."""
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
        """Who waits for another state is told the first that comes."""
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
        """Closing is a change, too, and the last."""
        async with pools(A) as pool:
            watching = asyncio.create_task(pool.state_changed(ChannelState.IDLE))
            await settled()
            pool.close()
            assert await watching is ChannelState.SHUTDOWN
            assert pool.state is ChannelState.SHUTDOWN

    async def test_ready(self, pools: Pools, dialer: FakeDialer) -> None:
        """`ready` waits for a connection, whether it has room or not."""
        async with pools(A) as pool:
            waiting = asyncio.create_task(pool.ready(wait_for_ready=False))
            await settled()
            (await dialer.succeed(A)).free_streams = 0
            await waiting
            await pool.ready(wait_for_ready=False)

    async def test_trouble(self, pools: Pools, dialer: FakeDialer) -> None:
        """Why there is no connection can be asked; there is nothing to tell when there is one."""
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
        """Calls that wait for an attempt end, and so does the attempt."""
        async with pools(A, B, attempt_delay=AT_ONCE) as pool:
            waiting = await call(pool, wait_for_ready=wait_for_ready)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_while_looking_up(self, pools: Pools, look_ups: LookUps) -> None:
        """So do those that wait for a look-up."""
        look_ups.is_silent = True
        async with pools("chat:7") as pool:
            waiting = await call(pool)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_in_backoff(self, pools: Pools, dialer: FakeDialer) -> None:
        """So do those that wait for an attempt to fall due."""
        async with pools(A) as pool:
            waiting = await call(pool, wait_for_ready=True)
            await dialer.fail(A, SILENT)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_while_calls_wait_for_room(self, pools: Pools, dialer: FakeDialer) -> None:
        """So do those that wait for the end of others."""
        async with pools(A) as pool:
            await call(pool)
            (await dialer.succeed(A)).free_streams = 0
            waiting = await call(pool)
            pool.close()
            with pytest.raises(ClosedError):
                await waiting

    async def test_closed(self, pools: Pools) -> None:
        """A pool that is closed stays so, and may be closed again."""
        async with pools(A) as pool:
            pool.close()
            pool.close()
            with pytest.raises(ClosedError):
                await pool.connection(wait_for_ready=True)
            await pool.wait_closed()
            await pool.wait_closed()

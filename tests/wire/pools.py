"""Pools with a fake dialer and a fake clock, and calls of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatify_stream.address import parse_target
from chatify_stream.errors import UnavailableError
from chatify_stream.wire.client.backoff import Attempts, Backoff
from chatify_stream.wire.client.balancer import BALANCERS, Balancing
from chatify_stream.wire.client.pool import Pool
from chatify_stream.wire.client.resolver import ResolvedTarget

from .clock import Clock
from .fake_dialer import FakeConnection, FakeDialer, settled

__all__ = ["AT_ONCE", "NEVER", "Pools", "call", "failure", "reached"]

AT_ONCE, NEVER = 0.0, 3600.0
"""Attempt delays."""


class Pools:
    """Makes pools and holds their parts."""

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

        targets = [
            ResolvedTarget.of_address(address, new_attempts()) for address in parse_target(target)
        ]
        balancer = BALANCERS[balancing]()
        if balancing == "pick_first":
            balancer.attempt_delay = attempt_delay
        pool = Pool(targets, balancer, self.dialer, new_attempts)
        try:
            yield pool
        finally:
            pool.close()
            await pool.wait_closed()
            assert asyncio.all_tasks() == {asyncio.current_task()}


async def call(pool: Pool, *, wait_for_ready: bool = False) -> asyncio.Task[FakeConnection]:
    """Start a call that needs a connection, and run it as far as possible."""
    task = asyncio.create_task(pool.connection(wait_for_ready=wait_for_ready))
    await settled()
    return task


async def reached(pool: Pool) -> str:
    """Return the address whose connection accepts a call now."""
    task = await call(pool)
    assert task.done()
    return str(task.result())


async def failure(task: asyncio.Task[FakeConnection]) -> str:
    assert task.done()
    with pytest.raises(UnavailableError) as caught:
        await task
    return str(caught.value.message)

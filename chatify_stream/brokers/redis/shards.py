"""The Redis masters that store the rooms: one, or all of a Redis Cluster.

The keys of a room share a slot, and each slot has one master. When a slot moves, unsent commands
go to the new master, and its rooms are subscribed to there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...address import Address
from ...config.broker_url import RedisLocation
from ...errors import BrokerError
from .connection import Dialer, RedisConnection
from .errors import LostError, UnusableError, reason_of
from .listener import Events, Listener
from .pipeline import Ask, Job, Pipeline

REFRESH = 10.0
"""Seconds between regular updates of the masters of a Cluster."""

PAUSE = 0.2
"""Minimum seconds between two updates after problems."""


@dataclass
class Shard:
    """One master. Slow reads have a connection of their own, so they do not delay writes."""

    writes: Pipeline
    reads: Pipeline
    listener: Listener

    @property
    def is_connected(self) -> bool:
        return self.writes.is_connected and self.listener.is_responsive

    async def close(self) -> None:
        await asyncio.gather(self.writes.close(), self.reads.close(), self.listener.close())


class Shards:
    def __init__(self, location: RedisLocation, events: Events) -> None:
        self._location = location
        self.url = str(location)
        self._events = events
        self._dialer = Dialer(location)
        self._masters: dict[Address | None, Shard] = {}
        self._slots: list[Shard] = []
        """Masters by slot in a Cluster; otherwise the only one."""
        self._known: list[Address] = list(location.addresses)
        """Nodes that can be asked for the masters of the Cluster."""
        self._problem = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None
        self.is_sharded = False

    async def open(self) -> None:
        """Connect to the masters. Raises `BrokerError`."""
        try:
            if self._location.kind == "cluster":
                await self._open_cluster()
            else:
                self._slots = [self._start(None, await self._dial(None))]
        except UnusableError as error:
            await self.close()
            raise BrokerError(self.url, str(error)) from error

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await asyncio.gather(*(shard.close() for shard in self._masters.values()))

    def of(self, slot: int) -> Shard:
        return self._slots[slot if len(self._slots) > 1 else 0]

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._masters.values())

    @property
    def publish_verb(self) -> str:
        return "SPUBLISH" if self.is_sharded else "PUBLISH"

    def deadline(self) -> float:
        """Return the deadline of a command that is sent now, in loop time."""
        return asyncio.get_running_loop().time() + self._location.timeout

    async def write(self, ask: Ask, deadline: float | None = None) -> Any:
        """Send a command to the master of its slot. Raises `BrokerError` or `LostError`."""
        return await self.of(ask.slot).writes.ask(ask, deadline or self.deadline())

    async def read(self, ask: Ask) -> Any:
        """Send a command on the connection for reads, which does not delay writes."""
        return await self.of(ask.slot).reads.ask(ask, self.deadline())

    def _dial(self, master: Address | None) -> Awaitable[RedisConnection]:
        if self._location.kind == "sentinel":
            return self._dialer.dial_master()
        address = self._location.addresses[0] if self._location.kind == "server" else master
        return self._dialer.dial(address)

    def _start(self, master: Address | None, link: RedisConnection | None = None) -> Shard:
        owner = (partial(self._dial, master), self._problem.set)
        timeout, url = self._location.timeout, self.url
        listener = Listener(*owner, self._events, is_sharded=self.is_sharded, silence=timeout)
        writes = Pipeline(*owner, url, self._write_again)
        reads = Pipeline(*owner, url, self._read_again, lambda: listener.silence_ends_at)
        shard = self._masters[master] = Shard(writes, reads, listener)
        writes.start(link)
        listener.start()
        reads.start()
        return shard

    def _write_again(self, job: Job) -> None:
        self.of(job.ask.slot).writes.put(job)

    def _read_again(self, job: Job) -> None:
        self.of(job.ask.slot).reads.put(job)

    # Redis Cluster.

    async def _open_cluster(self) -> None:
        masters = await self._find_masters()
        links = {address: await self._dialer.dial(address) for address in set(masters)}
        self.is_sharded = all(link.version >= (7, 0) for link in links.values())
        for address, link in links.items():
            self._start(address, link)
        self._slots = [self._masters[address] for address in masters]
        self._refreshing = asyncio.get_running_loop().create_task(self._keep_refreshing())

    async def _keep_refreshing(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH):
                    await self._problem.wait()
            self._problem.clear()
            with suppress(UnusableError):
                await self._refresh(await self._find_masters())
            await asyncio.sleep(PAUSE)

    async def _refresh(self, masters: list[Address]) -> None:
        before = self._slots
        for address in set(masters) - set(self._masters):
            self._start(address)
        self._slots = [self._masters[address] for address in masters]
        gone = [self._masters.pop(address) for address in set(self._masters) - set(masters)]
        for shard in gone:
            for job in shard.writes.take_back():
                self._write_again(job)
            for job in shard.reads.take_back():
                self._read_again(job)
        if any(one is not other for one, other in zip(before, self._slots, strict=True)):
            self._events.on_moved()
        await asyncio.gather(*(shard.close() for shard in gone))

    async def _find_masters(self) -> list[Address]:
        """Return the master of each slot. Raises `UnusableError`."""
        reasons = []
        for address in dict.fromkeys([*self._known, *self._location.addresses]):
            try:
                return await self._ask_for_masters(address)
            except UnusableError as error:
                reasons.append(f"{address}: {error}")
        raise UnusableError("; ".join(reasons))

    async def _ask_for_masters(self, address: Address) -> list[Address]:
        link = await self._dialer.dial(address, any_role=True)
        try:
            [reply] = await link.ask([("CLUSTER", "SLOTS")])
        except LostError as error:
            raise UnusableError(str(error)) from error
        finally:
            await link.close()
        if isinstance(reply, Exception):
            raise UnusableError(f"not a Redis Cluster: {reason_of(reply)}")
        masters: list[Address | None] = [None] * 16384
        nodes = []
        for first, last, *replicas in reply:
            found = [Address(n[0].decode() if n[0] else address.host, n[1]) for n in replicas]
            masters[first : last + 1] = [found[0]] * (last + 1 - first)
            nodes += found
        if not all(masters):
            raise UnusableError("part of the cluster has no master")
        self._known = list(dict.fromkeys(nodes))
        return [master for master in masters if master is not None]

"""The masters that keep the rooms: one, or those of a Redis Cluster.

Rules: a room's keys have one slot, and a slot one master. When that is another one than it was,
what has not been sent to the old one goes to the new one, and the rooms are listened to there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from redis.crc import key_slot

from ...address import Address
from ...config.broker_url import RedisLocation
from ...errors import BrokerError
from .connection import Dialer, Link
from .errors import LostError, UnusableError, reason_of
from .listener import Listener
from .pipeline import Ask, Job, Lane

__all__ = ["Shard", "Shards", "slot_of"]

REFRESH = 10.0
"""Seconds between two looks for the masters of a Cluster; there is one at once in trouble."""

PAUSE = 0.2
"""Seconds between two looks in trouble."""


def slot_of(key: str) -> int:
    """In a Cluster."""
    return key_slot(key.encode())


class Shard:
    """One master. What may take long does not delay what is published."""

    def __init__(self, writes: Lane, reads: Lane, listener: Listener) -> None:
        self.writes = writes
        self.reads = reads
        self.listener = listener

    @property
    def is_connected(self) -> bool:
        return self.writes.is_connected and self.listener.is_heard

    async def close(self) -> None:
        await asyncio.gather(self.writes.close(), self.reads.close(), self.listener.close())


class Shards:
    """All masters."""

    def __init__(
        self,
        location: RedisLocation,
        refusal: Callable[[str], BrokerError],
        on_message: Callable[[str, bytes], object],
        on_subscribed: Callable[[str], object],
        on_run: Callable[[], object],
        on_moved: Callable[[], object],
    ) -> None:
        """`on_run`: one was started anew, or another one is the master; `on_moved`: some slots have
        another master."""
        self._location = location
        self._refusal = refusal
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_run = on_run
        self._on_moved = on_moved
        self._dialer = Dialer(location)
        self._masters: dict[Address | None, Shard] = {}
        self._slots: list[Shard] = []
        """By slot in a Cluster, otherwise one."""
        self._known: list[Address] = list(location.addresses)
        """Nodes of the Cluster that may be asked for the others."""
        self._trouble = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None
        self.is_sharded = False
        """Messages are told by sharded pub/sub."""

    async def open(self) -> None:
        """Raises `BrokerError`."""
        try:
            if self._location.kind == "cluster":
                await self._open_cluster()
            else:
                link = await self._dial(None)
                self._slots = [self._start(None, link)]
        except UnusableError as error:
            await self.close()
            raise self._refusal(str(error)) from error

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await asyncio.gather(*(shard.close() for shard in self._masters.values()))

    def of(self, slot: int) -> Shard:
        """The one that has a slot."""
        return self._slots[slot if len(self._slots) > 1 else 0]

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._masters.values())

    async def write(self, ask: Ask, deadline: float) -> Any:
        """Asks the master that has the slot."""
        return await self.of(ask.slot).writes.ask(ask, deadline)

    async def read(self, ask: Ask, deadline: float) -> Any:
        """The same, for what does not delay what is published."""
        return await self.of(ask.slot).reads.ask(ask, deadline)

    def _dial(self, master: Address | None) -> Any:
        if self._location.kind == "sentinel":
            return self._dialer.dial_master()
        address = self._location.addresses[0] if self._location.kind == "server" else master
        return self._dialer.dial(address)

    def _start(self, master: Address | None, link: Link | None = None) -> Shard:
        def dial() -> Any:
            return self._dial(master)

        writes = Lane(dial, self._refusal, self._trouble.set, self._put_again)
        listener = Listener(
            dial,
            self._on_message,
            self._on_subscribed,
            self._on_run,
            self._trouble.set,
            is_sharded=self.is_sharded,
            silence=self._location.timeout,
        )
        reads = Lane(
            dial,
            self._refusal,
            self._trouble.set,
            self._put_read_again,
            lambda: listener.patience_ends_at,
        )
        shard = self._masters[master] = Shard(writes, reads, listener)
        writes.start(link)
        listener.start()
        reads.start()
        return shard

    def _put_again(self, job: Job) -> None:
        self.of(job.ask.slot).writes.put(job)

    def _put_read_again(self, job: Job) -> None:
        self.of(job.ask.slot).reads.put(job)

    # A Cluster.

    async def _open_cluster(self) -> None:
        masters = await self._find_masters()
        links = {address: await self._dialer.dial(address) for address in set(masters)}
        self.is_sharded = all(link.about.version >= (7, 0) for link in links.values())
        for address, link in links.items():
            self._start(address, link)
        self._slots = [self._masters[address] for address in masters]
        self._refreshing = asyncio.get_running_loop().create_task(self._keep_refreshing())

    async def _keep_refreshing(self) -> None:
        while True:
            try:
                async with asyncio.timeout(REFRESH):
                    await self._trouble.wait()
            except TimeoutError:
                pass
            self._trouble.clear()
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
                self._put_again(job)
            for job in shard.reads.take_back():
                self._put_read_again(job)
        if any(one is not other for one, other in zip(before, self._slots, strict=True)):
            self._on_moved()
        await asyncio.gather(*(shard.close() for shard in gone))

    async def _find_masters(self) -> list[Address]:
        """The master of each slot. Raises `UnusableError`."""
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
            raise UnusableError(f"it is no Redis Cluster: {reason_of(reply)}")
        masters: list[Address | None] = [None] * 16384
        nodes = []
        for first, last, *replicas in reply:
            found = [Address(n[0].decode() if n[0] else address.host, n[1]) for n in replicas]
            masters[first : last + 1] = [found[0]] * (last + 1 - first)
            nodes += found
        if not all(masters):
            raise UnusableError("a part of the cluster has no master")
        self._known = list(dict.fromkeys(nodes))
        return [master for master in masters if master is not None]

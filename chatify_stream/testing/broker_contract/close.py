"""Closing a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ...brokers import Broker
from ...errors import BrokerError
from ...rooms import Publication, Receipt
from ..recorder import Recorder
from .basis import Basis

__all__ = ["Closing"]


class Closing(Basis):
    async def test_twice(self) -> None:
        """Closing may be repeated, and two may do it at once."""
        broker = await self.make_broker(clock=self.clock)
        await broker.open(Recorder())
        async with asyncio.timeout(self.timeout):
            await asyncio.gather(broker.close(), broker.close())
            await broker.close()

    async def test_what_was_never_open(self) -> None:
        """A broker that was not opened can be closed."""
        async with asyncio.timeout(self.timeout):
            await (await self.make_broker(clock=self.clock)).close()

    async def test_used_while_it_is_not_open(self) -> None:
        """Before `open` and after `close` every method raises `BrokerError`."""
        broker = await self.make_broker(clock=self.clock)
        await self.expect_refusals(broker)
        await broker.open(Recorder())
        await broker.subscribe("lobby")
        await broker.enter("lobby", "ada", "session 1")
        await broker.close()
        await self.expect_refusals(broker)

    async def expect_refusals(self, broker: Broker) -> None:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "publish": lambda: broker.publish("lobby", [self.draft("hello")]),
            "read": lambda: broker.read("lobby", limit=1),
            "subscribe": lambda: broker.subscribe("lobby"),
            "enter": lambda: broker.enter("lobby", "ada", "session 2"),
            "users": lambda: broker.users("lobby"),
            "rooms": lambda: broker.rooms(limit=1),
            "survey": lambda: broker.survey(b"hello"),
        }
        for name, call in calls.items():
            try:
                async with asyncio.timeout(self.timeout):
                    await call()
            except BrokerError:
                continue
            raise AssertionError(f"{name} was not refused")

    async def test_ending_after_the_end(self) -> None:
        """Leaving and unsubscribing after it was closed do nothing."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.enter("lobby", "ada", "session 1")
            await broker.close()
            told = list(recorder.presence["lobby"])
            await broker.leave("lobby", "ada", "session 1")
            await broker.unsubscribe("lobby")
            assert recorder.presence["lobby"] == told

    async def test_while_others_publish(self) -> None:
        """Each call that is under way ends: with receipts, or with `BrokerError`."""
        acknowledged: list[tuple[Publication, Receipt]] = []
        async with self.opened() as (broker, _):
            under_way = asyncio.Event()

            async def publish(user: str) -> None:
                for n in range(10_000):
                    draft = self.draft(str(n), f"{user}-{n}", user)
                    try:
                        [receipt] = await broker.publish("lobby", [draft])
                    except BrokerError:
                        return
                    acknowledged.append((Publication(receipt.position.offset, *draft), receipt))
                    if n == 5:
                        under_way.set()
                    await asyncio.sleep(0)
                raise AssertionError("it was not closed")

            async with asyncio.timeout(6 * self.timeout), asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(publish(f"user-{number}"))
                await under_way.wait()
                await broker.close()
        offsets = sorted(publication.offset for publication, _ in acknowledged)
        assert len(set(offsets)) == len(offsets)
        if self.durable:
            async with self.opened() as (broker, _):
                page = await broker.read("lobby", limit=1_000_000)
                for publication, receipt in acknowledged:
                    assert page.publications[publication.offset - 1] == publication
                    assert page.newest.epoch == receipt.position.epoch

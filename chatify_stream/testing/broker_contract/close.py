"""Opening and closing a broker, its availability, and opening it again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ...brokers import Broker
from ...errors import BrokerError
from ...rooms import WINDOW_MS, LogPage, Outcome, Publication, Receipt
from ..doubles import Recorder
from .basis import Basis


class Closing(Basis):
    async def test_twice(self) -> None:
        """A broker may be closed repeatedly, and twice at the same time."""
        broker = await self.make_broker(clock=self.clock)
        await broker.open(Recorder())
        async with asyncio.timeout(self.timeout):
            await asyncio.gather(broker.close(), broker.close())
            await broker.close()

    async def test_what_was_never_open(self) -> None:
        """A broker that was never opened can be closed."""
        async with asyncio.timeout(self.timeout):
            await (await self.make_broker(clock=self.clock)).close()

    async def test_used_while_it_is_not_open(self) -> None:
        """Before `open` and after `close` every method raises `BrokerError`."""
        broker = await self.make_broker(clock=self.clock)
        await self.expect_rejections(broker)
        await broker.open(Recorder())
        await broker.subscribe("lobby")
        await broker.enter("lobby", "ada", "session 1")
        await broker.close()
        await self.expect_rejections(broker)

    async def expect_rejections(self, broker: Broker) -> None:
        calls: list[Coroutine[Any, Any, object]] = [
            broker.publish("lobby", [self.draft("hello")]),
            broker.read("lobby", limit=1),
            broker.subscribe("lobby"),
            broker.enter("lobby", "ada", "session 2"),
            broker.users("lobby"),
            broker.rooms(limit=1),
            broker.survey(b"hello"),
        ]
        async with asyncio.timeout(self.timeout):
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(result, BrokerError), result

    async def test_ending_after_the_end(self) -> None:
        """Leaving and unsubscribing after `close` does nothing."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.enter("lobby", "ada", "session 1")
            await broker.close()
            told = list(recorder.presence["lobby"])
            await broker.leave("lobby", "ada", "session 1")
            await broker.unsubscribe("lobby")
            assert recorder.presence["lobby"] == told

    async def test_while_others_publish(self) -> None:
        """Each call in progress ends with receipts or with `BrokerError`."""
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
                raise AssertionError("the broker was not closed")

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

    async def test_availability(self) -> None:
        """A broker is available only while it is open."""
        broker = await self.make_broker(clock=self.clock)
        assert not broker.is_available
        await broker.open(Recorder())
        try:
            async with asyncio.timeout(self.timeout):
                while not broker.is_available:  # noqa: ASYNC110 - no event exists
                    await asyncio.sleep(0.01)
        finally:
            await broker.close()
        assert not broker.is_available

    # Durability.

    async def test_opened_again(self) -> None:
        """A durable broker keeps logs, epochs and offsets; others start a new epoch."""
        async with self.opened() as (broker, _):
            first = await broker.publish("聊天室", self.drafts("ab"))
            whole = await broker.read("聊天室", limit=10)
        async with self.opened() as (broker, recorder):
            page = await broker.read("聊天室", limit=10)
            await broker.subscribe("聊天室")
            [begun] = recorder.begun["聊天室"]
            [receipt] = await broker.publish("聊天室", [self.draft("c")])
            await recorder.until(lambda: len(recorder.delivered["聊天室"]) == 1, self.timeout)
            if self.durable:
                assert page == whole
                assert begun == first[-1].position
                assert receipt.position == begun._replace(offset=3)
            else:
                assert page == LogPage(begun, 1, [])
                assert begun.offset == 0
                assert begun.epoch != first[0].position.epoch
                assert receipt.position == begun._replace(offset=1)

    async def test_ids_after_it_was_opened_again(self) -> None:
        """A durable broker remembers ids for the rest of their five minutes."""
        async with self.opened() as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
        self.clock.advance(WINDOW_MS / 1000 - 1)
        async with self.opened() as (broker, _):
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            [other] = await broker.publish("lobby", [self.draft("goodbye", "1")])
            if not self.durable:
                assert again.outcome is Outcome.PUBLISHED
                return
            assert again == first._replace(outcome=Outcome.DUPLICATE)
            assert other == first._replace(outcome=Outcome.CONFLICT)
        self.clock.advance(2)
        async with self.opened() as (broker, _):
            [later] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert (later.outcome, later.position.offset) == (Outcome.PUBLISHED, 2)

    async def test_rooms_after_it_was_opened_again(self) -> None:
        """A durable broker lists the rooms with messages, without their former users."""
        async with self.opened() as (broker, _):
            await broker.publish("lobby", [self.draft("hello")])
            await broker.publish("attic", [self.draft("hello")])
        async with self.opened() as (broker, _):
            names = [room.name for room in (await broker.rooms(limit=10)).rooms]
            assert names == (["attic", "lobby"] if self.durable else [])

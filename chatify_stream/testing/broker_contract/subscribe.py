"""Subscriptions: their start, their events and their end."""

from __future__ import annotations

import asyncio

from ...rooms.position import Position
from .basis import Basis


class Subscribing(Basis):
    async def test_told_in_order(self) -> None:
        """Each message is delivered once, in offset order, as it is in the log."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            for n in range(10):
                await broker.publish("lobby", self.drafts(range(n)))
            await recorder.until(lambda: len(recorder.delivered["lobby"]) >= 45, self.timeout)
            assert recorder.offsets("lobby") == list(range(1, 46))
            page = await broker.read("lobby", limit=100)
            assert page.publications == recorder.delivered["lobby"]

    async def test_begins(self) -> None:
        """A subscription begins after the newest message, before `subscribe` returns."""
        async with self.opened() as (broker, recorder):
            receipts = await broker.publish("lobby", self.drafts("abc"))
            await broker.subscribe("lobby")
            assert recorder.begun == {"lobby": [receipts[-1].position]}
            await broker.publish("lobby", [self.draft("d")])
            await recorder.until(lambda: recorder.offsets("lobby") == [4], self.timeout)

    async def test_begins_in_an_empty_room(self) -> None:
        """An unused room begins at offset 0 of its epoch, which lasts."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            [begun] = recorder.begun["lobby"]
            assert begun.offset == 0
            assert Position.parse(str(begun)) == begun
            [receipt] = await broker.publish("lobby", [self.draft("hello")])
            assert receipt.position == Position(begun.epoch, 1)
            await recorder.until(lambda: recorder.offsets("lobby") == [1], self.timeout)

    async def test_begins_while_others_publish(self) -> None:
        """All messages after the start are delivered, and none before it."""
        publishers, calls = 10, 30
        async with self.opened() as (broker, recorder):
            under_way = asyncio.Event()

            async def publish(user: str) -> None:
                for n in range(calls):
                    await broker.publish("lobby", [self.draft(str(n), f"{user}-{n}", user)] * 2)
                    if n == calls // 3:
                        under_way.set()

            async with asyncio.timeout(6 * self.timeout), asyncio.TaskGroup() as group:
                for number in range(publishers):
                    group.create_task(publish(f"user-{number}"))
                await under_way.wait()
                await broker.subscribe("lobby")
            [begun] = recorder.begun["lobby"]
            last = publishers * calls
            assert begun.offset > 0
            expected, delivered = (
                list(range(begun.offset + 1, last + 1)),
                recorder.delivered["lobby"],
            )
            await recorder.until(lambda: len(delivered) >= len(expected), self.timeout)
            assert recorder.offsets("lobby") == expected
            page = await broker.read("lobby", after=begun.offset, limit=last)
            assert page.publications == delivered

    async def test_many_rooms_at_once(self) -> None:
        """Rooms that are subscribed to at the same time each begin once."""
        rooms = [f"room-{n}" for n in range(50)]
        async with self.opened() as (broker, recorder):
            await asyncio.gather(*[broker.subscribe(room) for room in rooms])
            await asyncio.gather(*[broker.publish(r, self.drafts(range(2))) for r in rooms])
            delivered = recorder.delivered
            await recorder.until(lambda: all(len(delivered[r]) == 2 for r in rooms), self.timeout)
            assert {len(recorder.begun[room]) for room in rooms} == {1}

    async def test_only_what_is_subscribed_to(self) -> None:
        """Messages of other rooms are not delivered."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.publish("attic", [self.draft("unheard")])
            await broker.publish("lobby", [self.draft("heard")])
            await recorder.until(lambda: recorder.offsets("lobby") == [1], self.timeout)
            await broker.subscribe("attic")
            await broker.publish("attic", [self.draft("heard, too")])
            await recorder.until(lambda: recorder.offsets("attic") == [2], self.timeout)

    async def test_unsubscribe(self) -> None:
        """Messages after `unsubscribe` are not delivered until the room begins again."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.publish("lobby", [self.draft("a")])
            await recorder.until(lambda: recorder.offsets("lobby") == [1], self.timeout)
            await broker.unsubscribe("lobby")
            [unheard] = await broker.publish("lobby", [self.draft("b")])
            await broker.subscribe("lobby")
            await broker.publish("lobby", [self.draft("c")])
            await recorder.until(lambda: recorder.offsets("lobby") == [1, 3], self.timeout)
            assert recorder.begun["lobby"][1:] == [unheard.position]

    async def test_unsubscribe_from_what_is_not_subscribed_to(self) -> None:
        """Unsubscribing from a room that is not subscribed to does nothing."""
        async with self.opened() as (broker, recorder):
            await broker.unsubscribe("lobby")
            await broker.subscribe("lobby")
            await broker.unsubscribe("attic")
            await broker.publish("lobby", [self.draft("a")])
            await recorder.until(lambda: recorder.offsets("lobby") == [1], self.timeout)

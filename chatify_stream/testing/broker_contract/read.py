"""Reading the log, and its retention."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from ...rooms import LogPage, Publication, Retention, RetentionRule
from ...rooms.position import Position
from .basis import Basis, offsets_of


class Reading(Basis):
    async def test_every_form(self) -> None:
        """Every combination of `after`, `before`, `limit` and `newest` reads like a list."""
        count = 12
        places = [0, 1, 5, 11, 12, 13, 100]
        async with self.opened() as (broker, _):
            receipts = await broker.publish("lobby", self.drafts(range(count)))
            newest = receipts[-1].position
            whole = (await broker.read("lobby", limit=count)).publications
            assert offsets_of(whole) == list(range(1, count + 1))
            assert [p.text for p in whole] == [str(n) for n in range(count)]
            for after, before, limit, is_newest in product(
                places, [None, *places], [1, 4, 12, 50], [False, True]
            ):
                end = count + 1 if before is None else before
                found = [p for p in whole if after < p.offset < end]
                expected = found[-limit:] if is_newest else found[:limit]
                span: Any = {"after": after, "before": before, "limit": limit, "newest": is_newest}
                assert await broker.read("lobby", **span) == LogPage(newest, 1, expected), span

    async def test_an_empty_room(self) -> None:
        """An unused room has an empty log, whose epoch lasts."""
        async with self.opened() as (broker, recorder):
            for is_newest in (False, True):
                page = await broker.read("lobby", limit=10, newest=is_newest)
                assert page == LogPage(Position(page.newest.epoch, 0), 1, [])
            await broker.subscribe("lobby")
            assert recorder.begun["lobby"] == [page.newest]

    async def test_a_long_log(self) -> None:
        """A log of thousands of messages is read whole, and page by page."""
        count = 3_000
        async with self.opened() as (broker, _):
            await broker.publish("lobby", self.drafts(range(count)))
            whole = await broker.read("lobby", limit=count)
            assert offsets_of(whole.publications) == list(range(1, count + 1))
            read = partial(broker.read, "lobby", limit=700)
            after, before = 0, count + 1
            forwards: list[Publication] = []
            while page := (await read(after=after)).publications:
                forwards += page
                after = page[-1].offset
            assert forwards == whole.publications
            backwards: list[Publication] = []
            while page := (await read(before=before, newest=True)).publications:
                backwards = page + backwards
                before = page[0].offset
            assert backwards == whole.publications

    # Retention.

    async def test_by_number(self) -> None:
        """A room keeps its newest messages up to its count, however they were published."""
        async with self.opened(retention=Retention(count=10)) as (broker, _):
            for size in (1, 9, 1, 3, 25, 7, 500):
                await broker.publish("lobby", self.drafts(range(size)))
                page = await broker.read("lobby", limit=1000)
                newest = page.newest.offset
                oldest = max(1, newest - 9)
                assert page.oldest == oldest
                assert offsets_of(page.publications) == list(range(oldest, newest + 1))
            for is_newest in (False, True):
                page = await broker.read("lobby", after=1, limit=5, newest=is_newest)
                first = newest - 4 if is_newest else newest - 9
                assert offsets_of(page.publications) == list(range(first, first + 5))
            page = await broker.read("lobby", before=newest - 9, limit=5, newest=True)
            assert page.publications == []

    async def test_by_age(self) -> None:
        """A room keeps its messages up to their age."""
        async with self.opened(retention=Retention(age=60)) as (broker, _):
            await broker.publish("lobby", self.drafts("ab"))
            self.clock.advance(30)
            [third] = await broker.publish("lobby", self.drafts("c"))
            self.clock.advance(29)
            assert (await broker.read("lobby", limit=10)).oldest == 1
            self.clock.advance(2)
            page = await broker.read("lobby", limit=10)
            assert (page.oldest, [p.text for p in page.publications]) == (3, ["c"])
            self.clock.advance(30)
            assert await broker.read("lobby", limit=10) == LogPage(third.position, 4, [])
            [fourth] = await broker.publish("lobby", self.drafts("d"))
            assert fourth.position.offset == 4
            page = await broker.read("lobby", limit=10)
            assert (page.oldest, [p.text for p in page.publications]) == (4, ["d"])

    async def test_nothing(self) -> None:
        """A room that keeps nothing still publishes and delivers messages."""
        async with self.opened(retention=Retention(count=0)) as (broker, recorder):
            await broker.subscribe("lobby")
            receipts = await broker.publish("lobby", self.drafts("abc"))
            await recorder.until(lambda: recorder.offsets("lobby") == [1, 2, 3], self.timeout)
            page = await broker.read("lobby", limit=10)
            assert page == LogPage(receipts[-1].position, 4, [])

    async def test_rules(self) -> None:
        """The first rule whose pattern matches the room applies, otherwise the default."""
        rules = [
            RetentionRule("support-*", Retention(count=2)),
            RetentionRule("support-vip", Retention(count=5)),
            RetentionRule("[ab]?", Retention(age=10)),
        ]
        async with self.opened(retention=Retention(count=3), rules=rules) as (broker, _):
            rooms = ["support-1", "support-vip", "b1", "lobby"]
            for room in rooms:
                await broker.publish(room, self.drafts(range(20)))
            found = [(await broker.read(room, limit=100)).oldest for room in rooms]
            assert found == [19, 19, 1, 18]
            self.clock.advance(11)
            found = [(await broker.read(room, limit=100)).oldest for room in rooms]
            assert found == [19, 19, 21, 18]

    async def test_a_stream_of_messages(self) -> None:
        """After long use, reads return exactly the messages within the retention."""
        async with self.opened(retention=Retention(count=50, age=100)) as (broker, _):
            for step in range(40):
                await broker.publish("lobby", self.drafts(range(7)))
                self.clock.advance(10)
                page = await broker.read("lobby", limit=1000)
                newest = 7 * (step + 1)
                kept = min(50, 7 * 9, newest)  # 9 of the last steps are younger than 100 s
                assert page.newest.offset == newest
                assert page.oldest == newest + 1 - kept
                assert offsets_of(page.publications) == list(range(page.oldest, newest + 1))

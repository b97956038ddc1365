"""Reading, in all its forms."""

from __future__ import annotations

from itertools import product

from ...rooms import LogPage, Publication
from ...rooms.position import Position
from .basis import Basis, offsets_of

__all__ = ["Reading"]


class Reading(Basis):
    async def test_every_form(self) -> None:
        """After, before, at most, the oldest or the newest of these: what a list would give."""
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
                found = [
                    p for p in whole if after < p.offset < (count + 1 if before is None else before)
                ]
                expected = found[-limit:] if is_newest else found[:limit]
                page = await broker.read(
                    "lobby", after=after, before=before, limit=limit, newest=is_newest
                )
                assert page == LogPage(newest, 1, expected), (after, before, limit, is_newest)

    async def test_an_empty_room(self) -> None:
        """A room that nobody has used has an empty log, in the epoch that it then has."""
        async with self.opened() as (broker, recorder):
            for is_newest in (False, True):
                page = await broker.read("lobby", limit=10, newest=is_newest)
                assert page == LogPage(Position(page.newest.epoch, 0), 1, [])
            await broker.subscribe("lobby")
            assert recorder.begun["lobby"] == [page.newest]

    async def test_a_long_log(self) -> None:
        """A log of thousands is read whole, and page by page."""
        count = 3_000
        async with self.opened() as (broker, _):
            await broker.publish("lobby", self.drafts(range(count)))
            whole = await broker.read("lobby", limit=count)
            assert offsets_of(whole.publications) == list(range(1, count + 1))
            after = 0
            paged: list[Publication] = []
            while page := (await broker.read("lobby", after=after, limit=700)).publications:
                paged += page
                after = page[-1].offset
            assert paged == whole.publications
            before = count + 1
            backwards: list[Publication] = []
            while page := (
                await broker.read("lobby", before=before, limit=700, newest=True)
            ).publications:
                backwards = page + backwards
                before = page[0].offset
            assert backwards == whole.publications

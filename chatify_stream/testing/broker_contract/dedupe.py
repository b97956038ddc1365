"""Publishing an id again."""

from __future__ import annotations

import asyncio

from ...rooms import WINDOW_MS, Outcome, Retention
from .basis import Basis, offsets_of

__all__ = ["Repeating"]


class Repeating(Basis):
    async def test_the_same_again(self) -> None:
        """The same id and text again is not published: the receipt is that of the first."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
            self.clock.advance(60)
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert again == first._replace(outcome=Outcome.DUPLICATE)
            await broker.publish("lobby", [self.draft("more")])
            await recorder.until(lambda: recorder.offsets("lobby") == [1, 2], self.timeout)
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["hello", "more"]

    async def test_another_text(self) -> None:
        """The same id with another text is not published either, and the receipt says so."""
        async with self.opened() as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
            [other] = await broker.publish("lobby", [self.draft("goodbye", "1")])
            assert other == first._replace(outcome=Outcome.CONFLICT)
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["hello"]

    async def test_in_one_call(self) -> None:
        """It holds for messages of one call, of which the others are published."""
        async with self.opened() as (broker, _):
            receipts = await broker.publish(
                "lobby",
                [
                    self.draft("a", "1"),
                    self.draft("b", "2"),
                    self.draft("a", "1"),
                    self.draft("c", "2"),
                    self.draft("d", "3"),
                ],
            )
            assert [(r.outcome, r.position.offset) for r in receipts] == [
                (Outcome.PUBLISHED, 1),
                (Outcome.PUBLISHED, 2),
                (Outcome.DUPLICATE, 1),
                (Outcome.CONFLICT, 2),
                (Outcome.PUBLISHED, 3),
            ]
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["a", "b", "d"]

    async def test_other_users_and_rooms(self) -> None:
        """An id belongs to one user in one room."""
        async with self.opened() as (broker, _):
            receipts = [
                *await broker.publish("lobby", [self.draft("hello", "1", "ada")]),
                *await broker.publish("lobby", [self.draft("hello", "1", "bob")]),
                *await broker.publish("attic", [self.draft("hello", "1", "ada")]),
            ]
            assert [(r.outcome, r.position.offset) for r in receipts] == [
                (Outcome.PUBLISHED, 1),
                (Outcome.PUBLISHED, 2),
                (Outcome.PUBLISHED, 1),
            ]

    async def test_without_ids(self) -> None:
        """A message without id is published as often as it comes."""
        async with self.opened() as (broker, _):
            receipts = await broker.publish("lobby", [self.draft("hello")] * 3)
            assert [r.position.offset for r in receipts] == [1, 2, 3]
            assert {r.outcome for r in receipts} == {Outcome.PUBLISHED}

    async def test_the_window(self) -> None:
        """An id is remembered for five minutes after it was published, and not much longer."""
        async with self.opened() as (broker, _):
            await broker.publish("lobby", [self.draft("hello", "1")])
            self.clock.advance(WINDOW_MS / 1000 - 1)
            [within] = await broker.publish("lobby", [self.draft("hello", "1")])
            self.clock.advance(2)
            [after] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert (within.outcome, within.position.offset) == (Outcome.DUPLICATE, 1)
            assert (after.outcome, after.position.offset) == (Outcome.PUBLISHED, 2)
            self.clock.advance(WINDOW_MS / 1000 - 1)
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert (again.outcome, again.position.offset) == (Outcome.DUPLICATE, 2)

    async def test_ids_outlive_their_messages(self) -> None:
        """An id is remembered for the window, though its message is not kept for so long."""
        async with self.opened(retention=Retention(count=1, age=10)) as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
            await broker.publish("lobby", self.drafts(range(500)))
            self.clock.advance(WINDOW_MS / 1000 - 1)
            await broker.publish("lobby", self.drafts(range(500)))
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert again == first._replace(outcome=Outcome.DUPLICATE)

    async def test_many_at_once(self) -> None:
        """Of many calls at once with the same id, one publishes."""
        async with self.opened() as (broker, _):
            calls = [broker.publish("lobby", [self.draft("hello", "1")]) for _ in range(50)]
            receipts = [r for each in await asyncio.gather(*calls) for r in each]
            assert sorted(r.outcome.value for r in receipts) == ["duplicate"] * 49 + ["published"]
            assert {r.position.offset for r in receipts} == {1}
            page = await broker.read("lobby", limit=10)
            assert offsets_of(page.publications) == [1]

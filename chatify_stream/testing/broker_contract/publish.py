"""Publishing: offsets, order, atomicity, and what a message may be."""

from __future__ import annotations

import asyncio
from collections import Counter

from ...rooms import Outcome, Publication, Receipt
from ...rooms.position import Position
from .basis import Basis

__all__ = ["Publishing"]


class Publishing(Basis):
    async def test_offsets_follow_each_other(self) -> None:
        """Messages get the offsets 1, 2, 3 and so on, in one epoch."""
        async with self.opened() as (broker, _):
            receipts = []
            for text in ("one", "two", "three"):
                receipts += await broker.publish("lobby", [self.draft(text)])
                self.clock.advance(1)
            epoch = receipts[0].position.epoch
            first_ms = self.clock.now_ms - 3000
            assert receipts == [
                Receipt(Outcome.PUBLISHED, Position(epoch, 1), first_ms),
                Receipt(Outcome.PUBLISHED, Position(epoch, 2), first_ms + 1000),
                Receipt(Outcome.PUBLISHED, Position(epoch, 3), first_ms + 2000),
            ]
            assert Position.parse(str(receipts[0].position)) == receipts[0].position

    async def test_messages_of_one_call_follow_each_other(self) -> None:
        """Nothing of another call comes between them, and they keep their order."""
        async with self.opened() as (broker, _):
            calls = [
                broker.publish("lobby", self.drafts(f"{call}-{n}" for n in range(20)))
                for call in range(20)
            ]
            for call, receipts in enumerate(await asyncio.gather(*calls)):
                first = receipts[0].position.offset
                page = await broker.read("lobby", after=first - 1, limit=20)
                assert [r.position.offset for r in receipts] == list(range(first, first + 20))
                assert [p.text for p in page.publications] == [f"{call}-{n}" for n in range(20)]
            assert page.newest.offset == 400

    async def test_no_messages(self) -> None:
        """A call without messages publishes none."""
        async with self.opened() as (broker, _):
            assert await broker.publish("lobby", []) == []
            assert (await broker.read("lobby", limit=10)).newest.offset == 0

    async def test_rooms_are_apart(self) -> None:
        """Each room has its own offsets and its own messages."""
        async with self.opened() as (broker, _):
            for room in ("a", "b", "a", "c"):
                await broker.publish(room, [self.draft(f"in {room}")])
            for room, count in (("a", 2), ("b", 1), ("c", 1)):
                page = await broker.read(room, limit=10)
                assert [p.text for p in page.publications] == [f"in {room}"] * count
                assert page.newest.offset == count

    async def test_the_calls_of_a_task_keep_their_order(self) -> None:
        """With many tasks at once, each finds its messages in its own order, and none is lost."""
        tasks, calls = 25, 20
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")

            async def talk(user: str) -> None:
                for n in range(calls):
                    await broker.publish("lobby", [self.draft(str(n), f"{user}-{n}", user)])

            async with asyncio.timeout(6 * self.timeout), asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(talk(f"user-{number}"))
            await recorder.until(
                lambda: len(recorder.delivered["lobby"]) >= tasks * calls, self.timeout
            )
            for number in range(tasks):
                own = [p.text for p in recorder.delivered["lobby"] if p.user == f"user-{number}"]
                assert own == [str(n) for n in range(calls)]
            page = await broker.read("lobby", limit=tasks * calls + 1)
            assert page.publications == recorder.delivered["lobby"]

    async def test_a_call_that_was_cancelled(self) -> None:
        """A cancelled call is in the log or is not, and the log stays whole."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            calls = [
                asyncio.ensure_future(broker.publish("lobby", self.drafts([n, n])))
                for n in range(10)
            ]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            await broker.publish("lobby", [self.draft("last")])
            page = await broker.read("lobby", limit=100)
            counts = Counter(publication.text for publication in page.publications)
            assert counts.pop("last") == 1
            assert set(counts.values()) <= {2}
            read = page.newest.offset
            await recorder.until(lambda: len(recorder.delivered["lobby"]) >= read, self.timeout)
            assert recorder.delivered["lobby"][:read] == page.publications

    async def test_what_a_message_may_be(self) -> None:
        """Names, ids and texts of any script come back as they were: empty, long, odd."""
        room, user = "聊天室 👩‍👩‍👧", "Zoë 李 🦊"
        texts = ["", "你好，世界", "👋🏽 " * 10, "a\0b\n\r\t\x7f", "\"\\'%_{}", "x" * 65_536]
        texts += ["中" * 21_845, "\u2028\ufeff\uffff", "é", "e\u0301"]
        async with self.opened() as (broker, recorder):
            await broker.subscribe(room)
            drafts = [self.draft(text, f"編號 {n} 🎈", user) for n, text in enumerate(texts)]
            await broker.publish(room, drafts)
            await recorder.until(lambda: len(recorder.delivered[room]) == len(texts), self.timeout)
            expected = [Publication(n, *draft) for n, draft in enumerate(drafts, 1)]
            assert recorder.delivered[room] == expected
            assert (await broker.read(room, limit=100)).publications == expected

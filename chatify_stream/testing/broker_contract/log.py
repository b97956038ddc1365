"""The log of a room: publishing to it, reading it, and its retention."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from itertools import product
from typing import Any

from ...rooms import WINDOW_MS, LogPage, Outcome, Publication, Receipt, Retention, RetentionRule
from ...rooms.position import Position
from .basis import Basis, offsets_of


class Log(Basis):
    async def test_offsets_follow_each_other(self) -> None:
        """Messages get the offsets 1, 2, 3 and so on, in one epoch."""
        async with self.opened() as (broker, _):
            receipts = []
            expected = []
            for offset in (1, 2, 3):
                receipts += await broker.publish("lobby", [self.draft("hello")])
                position = Position(receipts[0].position.epoch, offset)
                expected.append(Receipt(Outcome.PUBLISHED, position, self.clock.now_ms))
                self.clock.advance(1)
            assert receipts == expected
            assert Position.parse(str(receipts[0].position)) == receipts[0].position

    async def test_messages_of_one_call_follow_each_other(self) -> None:
        """The messages of a call are contiguous and keep their order."""
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
        """Each room has its own offsets and messages."""
        async with self.opened() as (broker, _):
            for room in ("a", "b", "a", "c"):
                await broker.publish(room, [self.draft(f"in {room}")])
            for room, count in (("a", 2), ("b", 1), ("c", 1)):
                page = await broker.read(room, limit=10)
                assert [p.text for p in page.publications] == [f"in {room}"] * count
                assert page.newest.offset == count

    async def test_the_calls_of_a_task_keep_their_order(self) -> None:
        """With many tasks at once, the messages of each task keep their order; none is lost."""
        tasks, calls = 25, 20
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")

            async def talk(user: str) -> None:
                for n in range(calls):
                    await broker.publish("lobby", [self.draft(str(n), f"{user}-{n}", user)])

            async with asyncio.timeout(6 * self.timeout), asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(talk(f"user-{number}"))
            delivered, count = recorder.delivered["lobby"], tasks * calls
            await recorder.until(lambda: len(delivered) >= count, self.timeout)
            for number in range(tasks):
                own = [p.text for p in delivered if p.user == f"user-{number}"]
                assert own == [str(n) for n in range(calls)]
            page = await broker.read("lobby", limit=count + 1)
            assert page.publications == delivered

    async def test_a_call_that_was_cancelled(self) -> None:
        """The messages of a cancelled call are in the log all together or not at all."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            publishing = [broker.publish("lobby", self.drafts([n, n])) for n in range(10)]
            calls = [asyncio.ensure_future(each) for each in publishing]
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
        """Names, ids and texts of any script are returned unchanged: empty, long, unusual."""
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

    # Publishing an id again.

    async def test_the_same_again(self) -> None:
        """An id is not published again; its receipt holds the first position."""
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
        """An id with another text is not published; its receipt says so."""
        async with self.opened() as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
            [other] = await broker.publish("lobby", [self.draft("goodbye", "1")])
            assert other == first._replace(outcome=Outcome.CONFLICT)
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["hello"]

    async def test_in_one_call(self) -> None:
        """Repeated ids are also found within one call; its other messages are published."""
        async with self.opened() as (broker, _):
            drafts = [self.draft(*text_and_id) for text_and_id in ("a1", "b2", "a1", "c2", "d3")]
            receipts = await broker.publish("lobby", drafts)
            outcomes = [receipt.outcome.value for receipt in receipts]
            assert outcomes == ["published", "published", "duplicate", "conflict", "published"]
            assert [receipt.position.offset for receipt in receipts] == [1, 2, 1, 2, 3]
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["a", "b", "d"]

    async def test_other_users_and_rooms(self) -> None:
        """An id belongs to one user in one room."""
        async with self.opened() as (broker, _):
            for room, user, offset in (
                ("lobby", "ada", 1),
                ("lobby", "bob", 2),
                ("attic", "ada", 1),
            ):
                [receipt] = await broker.publish(room, [self.draft("hello", "1", user)])
                assert (receipt.outcome, receipt.position.offset) == (Outcome.PUBLISHED, offset)

    async def test_without_ids(self) -> None:
        """A message without an id is published every time."""
        async with self.opened() as (broker, _):
            receipts = await broker.publish("lobby", [self.draft("hello")] * 3)
            assert [r.position.offset for r in receipts] == [1, 2, 3]
            assert {r.outcome for r in receipts} == {Outcome.PUBLISHED}

    async def test_the_window(self) -> None:
        """An id is remembered for five minutes after it was published, and not much longer."""
        async with self.opened() as (broker, _):
            almost = WINDOW_MS / 1000 - 1
            for seconds, outcome, offset in (
                (0, Outcome.PUBLISHED, 1),
                (almost, Outcome.DUPLICATE, 1),
                (2, Outcome.PUBLISHED, 2),
                (almost, Outcome.DUPLICATE, 2),
            ):
                self.clock.advance(seconds)
                [receipt] = await broker.publish("lobby", [self.draft("hello", "1")])
                assert (receipt.outcome, receipt.position.offset) == (outcome, offset)

    async def test_ids_outlive_their_messages(self) -> None:
        """An id is remembered for five minutes even if its message is deleted earlier."""
        async with self.opened(retention=Retention(count=1, age=10)) as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
            await broker.publish("lobby", self.drafts(range(500)))
            self.clock.advance(WINDOW_MS / 1000 - 1)
            await broker.publish("lobby", self.drafts(range(500)))
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert again == first._replace(outcome=Outcome.DUPLICATE)

    async def test_many_at_once(self) -> None:
        """Of many simultaneous calls with the same id, one publishes."""
        async with self.opened() as (broker, _):
            calls = [broker.publish("lobby", [self.draft("hello", "1")]) for _ in range(50)]
            receipts = [r for each in await asyncio.gather(*calls) for r in each]
            assert sorted(r.outcome.value for r in receipts) == ["duplicate"] * 49 + ["published"]
            assert {r.position.offset for r in receipts} == {1}
            page = await broker.read("lobby", limit=10)
            assert offsets_of(page.publications) == [1]

    # Reading.

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

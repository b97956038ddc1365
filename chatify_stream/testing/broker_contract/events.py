"""The events of a room, and its users: subscriptions, presence, and surveys among servers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from ...brokers import Broker, RoomInfo
from ...rooms import Retention
from ...rooms.position import Position
from .basis import Basis

EVERY_BYTE = bytes(range(256))


class Events(Basis):
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
            expected, delivered = [*range(begun.offset + 1, last + 1)], recorder.delivered["lobby"]
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

    # Presence.

    async def test_a_user_with_two_sessions(self) -> None:
        """The first session of a user joins, the last one leaves; others are not reported."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.enter("lobby", "ada", "session 1")
            await broker.enter("lobby", "ada", "session 2")
            await broker.enter("lobby", "bob", "session 3")
            assert await broker.users("lobby") == ["ada", "bob"]
            await broker.leave("lobby", "ada", "session 1")
            assert await broker.users("lobby") == ["ada", "bob"]
            await broker.leave("lobby", "ada", "session 2")
            assert await broker.users("lobby") == ["bob"]
            await broker.leave("lobby", "bob", "session 3")
            assert await broker.users("lobby") == []
            expected = [("ada", True), ("bob", True), ("ada", False), ("bob", False)]
            await recorder.until(lambda: len(recorder.presence["lobby"]) >= 4, self.timeout)
            assert recorder.presence["lobby"] == expected

    async def test_leaving_again(self) -> None:
        """Leaving twice, or without having entered, does nothing."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.leave("lobby", "ada", "session 1")
            await broker.enter("lobby", "ada", "session 1")
            await broker.leave("lobby", "ada", "session 2")
            assert await broker.users("lobby") == ["ada"]
            await broker.leave("lobby", "ada", "session 1")
            await broker.leave("lobby", "ada", "session 1")
            await broker.enter("lobby", "bob", "session 3")
            expected = [("ada", True), ("ada", False), ("bob", True)]
            await recorder.until(lambda: len(recorder.presence["lobby"]) >= 3, self.timeout)
            assert recorder.presence["lobby"] == expected

    async def test_entering_again(self) -> None:
        """A user can join again after leaving, with the same or another session."""
        async with self.opened() as (broker, recorder):
            await broker.subscribe("lobby")
            for session in ("session 1", "session 1", "session 2"):
                await broker.enter("lobby", "ada", session)
                await broker.leave("lobby", "ada", session)
            await recorder.until(lambda: len(recorder.presence["lobby"]) >= 6, self.timeout)
            assert recorder.presence["lobby"] == [("ada", True), ("ada", False)] * 3

    async def test_each_room_for_itself(self) -> None:
        """A user is in each room separately, even with the same session."""
        async with self.opened() as (broker, _):
            await broker.enter("lobby", "ada", "session 1")
            await broker.enter("attic", "ada", "session 1")
            await broker.enter("attic", "bob", "session 1")
            await broker.leave("lobby", "ada", "session 1")
            assert await broker.users("lobby") == []
            assert await broker.users("attic") == ["ada", "bob"]
            assert await broker.users("cellar") == []

    async def test_names_of_any_script(self) -> None:
        """Users are sorted by their names, by code points."""
        names = ["Zoë", "ada", "Ада", "李", "～", "🦊"]
        async with self.opened() as (broker, _):
            for name in reversed(names):
                await broker.enter("聊天室", name, f"session of {name}")
            assert await broker.users("聊天室") == names == sorted(names)

    # The list of rooms.

    async def test_rooms_with_messages_or_users(self) -> None:
        """A room is listed while it has messages or users."""
        async with self.opened(retention=Retention(age=60)) as (broker, _):
            assert await self.names(broker) == []
            [receipt] = await broker.publish("lobby", [self.draft("hello")])
            await broker.enter("attic", "ada", "session 1")
            await broker.enter("lobby", "ada", "session 1")
            await broker.enter("lobby", "bob", "session 2")
            await broker.read("cellar", limit=1)
            page = await broker.rooms(limit=10)
            [attic, lobby] = page.rooms
            assert (attic.name, attic.newest.offset, attic.users) == ("attic", 0, 1)
            assert lobby == RoomInfo("lobby", receipt.position, 2)
            await broker.leave("attic", "ada", "session 1")
            assert await self.names(broker) == ["lobby"]
            self.clock.advance(61)
            assert await self.names(broker) == ["lobby"]
            await broker.leave("lobby", "ada", "session 1")
            await broker.leave("lobby", "bob", "session 2")
            assert await self.names(broker) == []

    async def test_pages(self) -> None:
        """The pages contain each room once, sorted by name, by code points."""
        names = sorted(["a", "a b", "ab", "B", "ä", "中文", "～", "🦊", "%", "_", "[", "*"])
        async with self.opened() as (broker, _):
            for name in reversed(names):
                await broker.publish(name, [self.draft("hello")])
            for size in (1, 5, len(names) - 1, len(names), 100):
                found, has_more = [""], True
                while has_more:
                    rooms, has_more = await broker.rooms(after=found[-1], limit=size)
                    found += [room.name for room in rooms]
                    assert 0 < len(rooms) <= size
                assert found[1:] == names, size

    async def test_prefixes(self) -> None:
        """Only names with the prefix are listed; none of its characters is special."""
        names = ["a*b", "a?b", "a[b]", "a_b", "ab", "a中", "b", "中文"]
        async with self.opened() as (broker, _):
            for name in names:
                await broker.publish(name, [self.draft("hello")])
            for prefix in ("a", "a*", "a[", "a_", "a?", "ab", "中", "x", ""):
                expected = sorted(name for name in names if name.startswith(prefix))
                assert await self.names(broker, prefix) == expected
            page = await broker.rooms(prefix="a", after="a_b", limit=1)
            assert [room.name for room in page.rooms] == ["ab"]
            assert page.has_more
            assert not (await broker.rooms(prefix="a", after="b", limit=1)).rooms

    async def names(self, broker: Broker, prefix: str = "") -> list[str]:
        page = await broker.rooms(prefix=prefix, limit=1000)
        assert not page.has_more
        return [room.name for room in page.rooms]

    # Surveys.

    async def test_survey_without_other_servers(self) -> None:
        """A survey without other servers has no answers and does not reach its sender."""
        async with self.opened() as (broker, recorder), asyncio.timeout(self.timeout):
            assert await broker.survey(EVERY_BYTE) == ([], 0)
            assert recorder.commands == []

    async def test_survey_reaches_all_others(self) -> None:
        """Every other server receives any bytes once, and its answer is returned."""
        if not self.shared:
            return
        async with AsyncExitStack() as stack, asyncio.timeout(self.timeout):
            opened = [await stack.enter_async_context(self.opened()) for _ in range(3)]
            for index, (broker, own) in enumerate(opened):
                for command in (b"", EVERY_BYTE, b"%d" % index):
                    assert await broker.survey(command) == ([command[::-1]] * 2, 0)
                    for _, recorder in opened:
                        assert recorder.commands == ([] if recorder is own else [command])
                        recorder.commands.clear()

    async def test_concurrent_surveys(self) -> None:
        """Each survey gets the answers to its own command."""
        if not self.shared:
            return
        async with self.opened() as one, self.opened() as other, asyncio.timeout(self.timeout):
            commands = [b"%d" % number for number in range(200)]
            surveys = [broker.survey(each) for broker, _ in (one, other) for each in commands]
            answers = await asyncio.gather(*surveys)
            assert answers == [([each[::-1]], 0) for each in commands * 2]
            assert sorted(one[1].commands) == sorted(other[1].commands) == sorted(commands)

    async def test_after_another_was_closed(self) -> None:
        """A survey does not wait for a server that was closed."""
        if not self.shared:
            return
        async with self.opened() as (broker, _), asyncio.timeout(self.timeout):
            async with self.opened() as (_, gone):
                pass
            while await broker.survey(b"hello") != ([], 0):  # noqa: ASYNC110 - no event exists
                await asyncio.sleep(0.01)
            assert gone.commands == []

"""Presence in rooms, and the list of rooms."""

from __future__ import annotations

from ...brokers import Broker, RoomInfo
from ...rooms import Retention
from .basis import Basis


class Presence(Basis):
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

"""Which rooms there are."""

from __future__ import annotations

from ...brokers import Broker, RoomInfo
from ...rooms import Retention
from .basis import Basis

__all__ = ["Listing"]


class Listing(Basis):
    async def test_rooms_with_messages_or_users(self) -> None:
        """A room is listed while it keeps messages or somebody is in it."""
        async with self.opened(retention=Retention(age=60)) as (broker, _):
            assert await self.names(broker) == []
            [receipt] = await broker.publish("lobby", [self.draft("hello")])
            await broker.enter("attic", "ada", "session 1")
            await broker.enter("lobby", "ada", "session 1")
            await broker.enter("lobby", "bob", "session 2")
            await broker.read("cellar", limit=1)
            page = await broker.rooms(limit=10)
            assert [(room.name, room.newest.offset, room.users) for room in page.rooms] == [
                ("attic", 0, 1),
                ("lobby", 1, 2),
            ]
            assert page.rooms[1] == RoomInfo("lobby", receipt.position, 2)
            await broker.leave("attic", "ada", "session 1")
            assert await self.names(broker) == ["lobby"]
            self.clock.advance(61)
            assert await self.names(broker) == ["lobby"]
            await broker.leave("lobby", "ada", "session 1")
            await broker.leave("lobby", "bob", "session 2")
            assert await self.names(broker) == []

    async def test_pages(self) -> None:
        """Page by page, each room comes once, in the order of the names, by code points."""
        names = sorted(["a", "a b", "ab", "B", "ä", "中文", "～", "🦊", "%", "_", "[", "*"])
        async with self.opened() as (broker, _):
            for name in reversed(names):
                await broker.publish(name, [self.draft("hello")])
            for size in (1, 5, len(names) - 1, len(names), 100):
                after = ""
                found: list[str] = []
                while True:
                    page = await broker.rooms(after=after, limit=size)
                    found += [room.name for room in page.rooms]
                    assert len(page.rooms) <= size
                    if not page.has_more:
                        break
                    after = found[-1]
                assert found == names, size

    async def test_prefixes(self) -> None:
        """Only names that begin so are listed; no character of a prefix is special."""
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

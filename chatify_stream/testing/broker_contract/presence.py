"""Presence in rooms."""

from __future__ import annotations

from .basis import Basis

__all__ = ["Presence"]


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
        """Leaving twice, or what one never entered, does nothing."""
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
        """A user is in each room for itself, with the same session, too."""
        async with self.opened() as (broker, _):
            await broker.enter("lobby", "ada", "session 1")
            await broker.enter("attic", "ada", "session 1")
            await broker.enter("attic", "bob", "session 1")
            await broker.leave("lobby", "ada", "session 1")
            assert await broker.users("lobby") == []
            assert await broker.users("attic") == ["ada", "bob"]
            assert await broker.users("cellar") == []

    async def test_names_of_any_script(self) -> None:
        """Users come in the order of their names, by code points."""
        names = ["Zoë", "ada", "Ада", "李", "～", "🦊"]
        async with self.opened() as (broker, _):
            for name in reversed(names):
                await broker.enter("聊天室", name, f"session of {name}")
            assert await broker.users("聊天室") == names == sorted(names)

"""What outlives a durable broker. The others begin anew."""

from __future__ import annotations

from ...rooms import WINDOW_MS, LogPage, Outcome
from .basis import Basis

__all__ = ["Durability"]


class Durability(Basis):
    async def test_opened_again(self) -> None:
        """Logs, epochs and offsets are as they were, if they last; otherwise the epoch is new."""
        async with self.opened() as (broker, _):
            first = await broker.publish("聊天室", self.drafts("ab"))
            whole = await broker.read("聊天室", limit=10)
        async with self.opened() as (broker, recorder):
            page = await broker.read("聊天室", limit=10)
            await broker.subscribe("聊天室")
            [begun] = recorder.begun["聊天室"]
            [receipt] = await broker.publish("聊天室", [self.draft("c")])
            await recorder.until(lambda: len(recorder.delivered["聊天室"]) == 1, self.timeout)
            if self.durable:
                assert page == whole
                assert begun == first[-1].position
                assert receipt.position == begun._replace(offset=3)
            else:
                assert page == LogPage(begun, 1, [])
                assert begun.offset == 0
                assert begun.epoch != first[0].position.epoch
                assert receipt.position == begun._replace(offset=1)

    async def test_ids_after_it_was_opened_again(self) -> None:
        """Ids are remembered for the rest of their five minutes, if they last."""
        async with self.opened() as (broker, _):
            [first] = await broker.publish("lobby", [self.draft("hello", "1")])
        self.clock.advance(WINDOW_MS / 1000 - 1)
        async with self.opened() as (broker, _):
            [again] = await broker.publish("lobby", [self.draft("hello", "1")])
            [other] = await broker.publish("lobby", [self.draft("goodbye", "1")])
            if not self.durable:
                assert again.outcome is Outcome.PUBLISHED
                return
            assert again == first._replace(outcome=Outcome.DUPLICATE)
            assert other == first._replace(outcome=Outcome.CONFLICT)
        self.clock.advance(2)
        async with self.opened() as (broker, _):
            [later] = await broker.publish("lobby", [self.draft("hello", "1")])
            assert (later.outcome, later.position.offset) == (Outcome.PUBLISHED, 2)

    async def test_rooms_after_it_was_opened_again(self) -> None:
        """The rooms that keep messages are listed, without their users, if they last."""
        async with self.opened() as (broker, _):
            await broker.publish("lobby", [self.draft("hello")])
            await broker.publish("attic", [self.draft("hello")])
        async with self.opened() as (broker, _):
            names = [room.name for room in (await broker.rooms(limit=10)).rooms]
            assert names == (["attic", "lobby"] if self.durable else [])

"""A broker in memory that fails or waits as a test requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from chatify_stream import BrokerError
from chatify_stream.brokers import Answers, MemoryBroker, RoomPage, Subscriber
from chatify_stream.rooms import Draft, LogPage, Publication, Receipt, Retention
from chatify_stream.rooms.position import Position, new_epoch

__all__ = ["SECRET", "MoodyBroker"]

SECRET = "nowhere://user:secret@host"


class MoodyBroker:
    """A `Broker`."""

    def __init__(
        self, retention: Retention | None = None, *, chance: random.Random | None = None
    ) -> None:
        """With `chance`, everything takes some time, and events arrive late."""
        self.memory = MemoryBroker(retention)
        self.failing: set[str] = set()
        """Methods that raise `BrokerError` and do nothing."""
        self.failing_late: set[str] = set()
        """Methods that raise `BrokerError` after they have done their work; only `publish`."""
        self.gates: dict[str, asyncio.Event] = {}
        """Methods that wait for a gate."""
        self.calls: list[tuple[str, str]] = []
        """The calls: method and room."""
        self.is_there = True
        """The value of `is_available`."""
        self.others = Answers([], 0)
        """The answer of other servers to every survey."""
        self.told: list[bytes] = []
        """The commands of all surveys."""
        self.waiting = 0
        """Number of calls that wait for a gate."""
        self._chance = chance

    def close_gate(self, method: str) -> asyncio.Event:
        """Make the method wait until the returned event is set."""
        gate = self.gates[method] = asyncio.Event()
        return gate

    def count(self, method: str) -> int:
        """Return how often the method was called."""
        return sum(name == method for name, _ in self.calls)

    @property
    def is_available(self) -> bool:
        return self.is_there and self.memory.is_available

    async def open(self, subscriber: Subscriber) -> None:
        if self._chance is not None:
            subscriber = _Late(subscriber, self._chance)
        await self.memory.open(subscriber)

    async def close(self) -> None:
        await self.memory.close()

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        await self._before("publish", room)
        receipts = await self.memory.publish(room, drafts)
        await self._dawdle()
        if "publish" in self.failing_late:
            raise BrokerError(SECRET, "it does not know whether it has published")
        return receipts

    async def read(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> LogPage:
        await self._before("read", room)
        page = await self.memory.read(room, after=after, before=before, limit=limit, newest=newest)
        await self._dawdle()
        return page

    async def subscribe(self, room: str) -> None:
        await self._before("subscribe", room)
        await self.memory.subscribe(room)
        await self._dawdle()

    async def unsubscribe(self, room: str) -> None:
        await self._before("unsubscribe", room)
        await self.memory.unsubscribe(room)
        await self._dawdle()

    async def enter(self, room: str, user: str, session_id: str) -> None:
        await self._before("enter", room)
        await self.memory.enter(room, user, session_id)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        await self._before("leave", room)
        await self.memory.leave(room, user, session_id)

    async def users(self, room: str) -> list[str]:
        await self._before("users", room)
        return await self.memory.users(room)

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        await self._before("rooms", "")
        return await self.memory.rooms(prefix=prefix, after=after, limit=limit)

    async def survey(self, command: bytes) -> Answers:
        await self._before("survey", "")
        await self.memory.survey(command)
        self.told.append(command)
        return self.others

    def lose_the_log(self, room: str) -> None:
        """Reset the log of a room to another epoch."""
        del self.memory._logs[room]
        self.memory._epoch = new_epoch()
        subscriber = self.memory._subscriber
        assert subscriber is not None
        subscriber.begins_at(room, self.memory._log(room).newest)

    async def _before(self, method: str, room: str) -> None:
        self.calls.append((method, room))
        if (gate := self.gates.get(method)) is not None:
            self.waiting += 1
            try:
                await gate.wait()
            finally:
                self.waiting -= 1
        await self._dawdle()
        if method in self.failing:
            raise BrokerError(SECRET, f"it is in no mood to {method}")

    async def _dawdle(self) -> None:
        if self._chance is not None:
            for _ in range(self._chance.choice([0, 0, 1, 2, 10])):
                await asyncio.sleep(0)


class _Late:
    """Passes all events to a subscriber, in order, some turns later."""

    def __init__(self, subscriber: Subscriber, chance: random.Random) -> None:
        self._subscriber = subscriber
        self._chance = chance
        self._late: list[tuple[str, Sequence[Publication]]] = []

    def begins_at(self, room: str, position: Position) -> None:
        self._tell()
        self._subscriber.begins_at(room, position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        self._late.append((room, publications))
        self._later(self._chance.randrange(5))

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        self._subscriber.presence_changed(room, user, joined)

    def on_survey(self, command: bytes) -> bytes:
        return self._subscriber.on_survey(command)

    def _later(self, turns: int) -> None:
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(self._later, turns - 1)
        else:
            loop.call_soon(self._tell)

    def _tell(self) -> None:
        late, self._late = self._late, []
        for room, publications in late:
            self._subscriber.published(room, publications)

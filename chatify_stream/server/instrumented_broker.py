"""A broker with somebody around its calls: who times them, or puts them into a trace."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

from ..brokers import Answers, Broker, RoomPage, Subscriber
from ..rooms import Draft, LogPage, Receipt

__all__ = ["CALLS", "Watch", "WatchedBroker"]

# These names are label values of metrics, so "tell" stays although the method is `survey`.
CALLS = ("publish", "read", "subscribe", "unsubscribe", "enter", "leave", "users", "rooms", "tell")

T = TypeVar("T")


class Watch(Protocol):
    """Awaits a call, one of `CALLS`, about a room, and returns or raises what it does."""

    async def __call__(self, call: str, room: str, calling: Awaitable[T], /) -> T: ...


class WatchedBroker:
    """Does what the broker under it does, and has each call watched."""

    def __init__(self, broker: Broker, watch: Watch) -> None:
        self._broker = broker
        self._watch = watch

    @property
    def is_available(self) -> bool:
        return self._broker.is_available

    async def open(self, subscriber: Subscriber) -> None:
        await self._broker.open(subscriber)

    async def close(self) -> None:
        await self._broker.close()

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        return await self._watch("publish", room, self._broker.publish(room, drafts))

    async def read(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> LogPage:
        reading = self._broker.read(room, after=after, before=before, limit=limit, newest=newest)
        return await self._watch("read", room, reading)

    async def subscribe(self, room: str) -> None:
        await self._watch("subscribe", room, self._broker.subscribe(room))

    async def unsubscribe(self, room: str) -> None:
        await self._watch("unsubscribe", room, self._broker.unsubscribe(room))

    async def enter(self, room: str, user: str, session_id: str) -> None:
        await self._watch("enter", room, self._broker.enter(room, user, session_id))

    async def leave(self, room: str, user: str, session_id: str) -> None:
        await self._watch("leave", room, self._broker.leave(room, user, session_id))

    async def users(self, room: str) -> list[str]:
        return await self._watch("users", room, self._broker.users(room))

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        return await self._watch(
            "rooms", "", self._broker.rooms(prefix=prefix, after=after, limit=limit)
        )

    async def survey(self, command: bytes) -> Answers:
        return await self._watch("tell", "", self._broker.survey(command))

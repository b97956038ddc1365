"""A broker whose calls are measured or traced."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from ..brokers import Answers, Broker, RoomPage
from ..rooms import Draft, LogPage, Receipt

# These names are label values of metrics, so "tell" stays although the method is `survey`.
CALLS = ("publish", "read", "subscribe", "unsubscribe", "enter", "leave", "users", "rooms", "tell")

T = TypeVar("T")


class Instrument(Protocol):
    """Runs around each call of a broker."""

    async def __call__(self, call: str, room: str, calling: Awaitable[T], /) -> T:
        """Await `calling`; return its result, or raise its exception.

        `call` is one of `CALLS`. `room` is empty for a call that is not about one room.
        """
        ...


class InstrumentedBroker:
    """A `Broker` that forwards each call to another broker through an `Instrument`."""

    def __init__(self, broker: Broker, instrument: Instrument) -> None:
        self._broker = broker
        self._instrument = instrument
        self.open, self.close = broker.open, broker.close

    @property
    def is_available(self) -> bool:
        return self._broker.is_available

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        return await self._instrument("publish", room, self._broker.publish(room, drafts))

    async def read(self, room: str, **span: Any) -> LogPage:
        return await self._instrument("read", room, self._broker.read(room, **span))

    async def subscribe(self, room: str) -> None:
        await self._instrument("subscribe", room, self._broker.subscribe(room))

    async def unsubscribe(self, room: str) -> None:
        await self._instrument("unsubscribe", room, self._broker.unsubscribe(room))

    async def enter(self, room: str, user: str, session_id: str) -> None:
        await self._instrument("enter", room, self._broker.enter(room, user, session_id))

    async def leave(self, room: str, user: str, session_id: str) -> None:
        await self._instrument("leave", room, self._broker.leave(room, user, session_id))

    async def users(self, room: str) -> list[str]:
        return await self._instrument("users", room, self._broker.users(room))

    async def rooms(self, **span: Any) -> RoomPage:
        return await self._instrument("rooms", "", self._broker.rooms(**span))

    async def survey(self, command: bytes) -> Answers:
        return await self._instrument("tell", "", self._broker.survey(command))

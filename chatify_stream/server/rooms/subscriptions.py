"""Which rooms the broker tells this node of: those that somebody here holds.

Rules: what is asked of the broker about one room is asked one after the other, in the order in
which it became necessary. A room that is left and joined again at once is the same room, and stays
subscribed to; one that the broker is asked to unsubscribe from has been forgotten before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...brokers import Broker
from ...errors import BrokerError
from ...rooms import Hub, Room
from .contained import contained

__all__ = ["Subscriptions"]

log = logging.getLogger(__name__)


class Subscriptions:
    """Holds rooms of a hub."""

    def __init__(self, hub: Hub, broker: Broker) -> None:
        self._hub = hub
        self._broker = broker
        self._subscribed: set[str] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        """The task that asks last for each room, while it runs."""

    async def hold(self, name: str) -> Room:
        """The room, once it has begun; to be given back with `release`. Raises `BrokerError`."""
        room = self._hub.hold(name)
        if name not in self._subscribed:
            try:
                await asyncio.shield(self._then(name, self._subscribe, room))
            except BaseException:
                self.release(room)
                raise
        return room

    def release(self, room: Room) -> None:
        """Gives the room back."""
        if self._hub.release(room):
            self._then(room.name, self._unsubscribe, room)

    async def settle(self) -> None:
        """Waits for what is under way."""
        while self._last:
            await asyncio.wait(list(self._last.values()))

    def _then(
        self, name: str, ask: Callable[[Room], Awaitable[None]], room: Room
    ) -> asyncio.Task[None]:
        before = self._last.get(name)

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait([before])
            await contained(ask(room))

        def done(task: asyncio.Task[None]) -> None:
            if self._last.get(name) is task:
                del self._last[name]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("room %r: %s", name, error)

        task = self._last[name] = asyncio.get_running_loop().create_task(in_turn())
        task.add_done_callback(done)
        return task

    async def _subscribe(self, room: Room) -> None:
        if room.sessions and room.name not in self._subscribed:
            await self._broker.subscribe(room.name)
            self._subscribed.add(room.name)

    async def _unsubscribe(self, room: Room) -> None:
        if not self._hub.forget(room):
            return
        self._subscribed.discard(room.name)
        try:
            await self._broker.unsubscribe(room.name)
        except BrokerError as error:
            log.warning("room %r is not unsubscribed from: %s", room.name, error)

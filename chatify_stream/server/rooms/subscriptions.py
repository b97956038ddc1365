"""The broker subscriptions of one node: one for each room with a session.

Rules: subscribing to a room and unsubscribing from it run one after the other, in the order in
which they became necessary. A room that is left and joined again at once stays subscribed. A room
is forgotten before the broker is asked to unsubscribe from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...brokers import Broker
from ...errors import BrokerError
from ...rooms import Hub, Room

log = logging.getLogger(__name__)

T = TypeVar("T")


async def contain_exit(work: Awaitable[T]) -> T:
    """Await `work` of a broker or a hook in a task, and return its result.

    Raises `RuntimeError` instead of SystemExit and KeyboardInterrupt: asyncio stops the event loop
    when a task raises these.
    """
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"a task raised {error!r}") from error


class Subscriptions:
    """Keeps the rooms of a hub subscribed while sessions hold them."""

    def __init__(self, hub: Hub, broker: Broker) -> None:
        self._hub = hub
        self._broker = broker
        self._subscribed: set[str] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        """The last task of each room, while it runs."""

    async def hold(self, name: str) -> Room:
        """Return a room that is subscribed, which the caller must `release`.

        Waits until the broker has reported the room's position. Raises `BrokerError`.
        """
        room = self._hub.hold(name)
        if name not in self._subscribed:
            try:
                await asyncio.shield(self._run_after_last(name, self._subscribe, room))
            except BaseException:
                self.release(room)
                raise
        return room

    def release(self, room: Room) -> None:
        """Release a room; after the last holder, unsubscribe from it in the background."""
        if self._hub.release(room):
            self._run_after_last(room.name, self._unsubscribe, room)

    async def settle(self) -> None:
        while self._last:
            await asyncio.wait(list(self._last.values()))

    def _run_after_last(
        self, name: str, operation: Callable[[Room], Awaitable[None]], room: Room
    ) -> asyncio.Task[None]:
        before = self._last.get(name)

        async def run() -> None:
            if before is not None:
                await asyncio.wait([before])
            await contain_exit(operation(room))

        def done(task: asyncio.Task[None]) -> None:
            if self._last.get(name) is task:
                del self._last[name]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("room %r: %s", name, error)

        task = self._last[name] = asyncio.get_running_loop().create_task(run())
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
            log.warning("could not unsubscribe from room %r: %s", room.name, error)

"""The rooms of one server: its hub and its broker, joined, and the sessions that are open.

Rules: what is published during one turn of the event loop is given to the members in the next one,
together. Sessions that leave are taken out of the broker's presence by tasks that are awaited
before the broker is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Protocol

from ..._version import __version__
from ...brokers import Broker
from ...errors import BrokerError
from ...messages.chatify.rooms import v1
from ...rooms import Ending, EndingReason, Hub, Publication, Room
from ...rooms.position import Position
from ..load_monitor import LoadMonitor
from .contained import contained
from .hooks import RoomObserver, RoomObservers
from .node_commands import answer_to
from .options import RoomOptions
from .subscriptions import Subscriptions

__all__ = ["Node", "OpenSession", "RoomStatistics"]

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that closing waits for what follows the end of sessions."""


class OpenSession(Protocol):
    """A session of a room, as whoever ends it sees it."""

    room: str
    user: str

    def end(self, ending: Ending) -> None:
        """Ends it soon, unless it has ended."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for its client to read."""


@dataclass(frozen=True)
class RoomStatistics:
    """Of the rooms of one server. Counters only grow; they begin with 0 when the server starts."""

    rooms: int
    """Those that somebody is in."""

    sessions: int
    """Those that are open."""

    sessions_opened: int

    sessions_ended: Mapping[str, int]
    """By the name of the reason."""

    messages_published: int
    """By the sessions of this server, and by its program."""

    deliveries: int
    """Messages times the sessions that they were given to, resumes and history not counted."""

    resumes: Mapping[bool, int]
    """How many sessions asked to resume: those that could, and those that could not."""

    outbox_bytes: int
    """Those that wait for clients to read."""


class Node:
    """Everything that the sessions of one server share."""

    def __init__(
        self,
        options: RoomOptions,
        *,
        clock: Callable[[], float] = time.time,
        instrument: Callable[[Broker], Broker] = lambda broker: broker,
        observers: Sequence[RoomObserver] = (),
        monitor: LoadMonitor | None = None,
    ) -> None:
        """Make the node; nothing is opened.

        `clock` returns seconds since 1970. `instrument` returns the broker to use in place of the
        one that the options name. `monitor` has the load of this process; the node does not start
        it.
        """
        self.options = options
        self.hooks = options.hooks
        self.observers = RoomObservers(observers)
        self._instrument = instrument
        self.broker = instrument(options.make_broker())
        self.hub = Hub(self._flush_soon)
        self._unflushed: list[Room] = []
        self.subscriptions = Subscriptions(self.hub, self.broker)
        self.sessions: set[OpenSession] = set()
        self.is_draining = False
        self.is_open = self.is_closed = False
        self.sessions_opened = 0
        self.sessions_ended: Counter[str] = Counter()
        self.messages_published = 0
        self.resumes: Counter[bool] = Counter()
        self.address = ""
        """Where the server listens."""
        self._monitor = monitor or LoadMonitor()
        self._monitor.message_counts = lambda: (self.messages_published, self.hub.deliveries)
        self._id = token_urlsafe(9)
        self._clock = clock
        self._started_at_ms = self.now_ms()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises `BrokerError`. After `close` it opens a new broker, as its URL says."""
        if self.is_closed:
            self.broker = self._instrument(self.options.make_broker())
            self.subscriptions = Subscriptions(self.hub, self.broker)
            self.is_draining = self.is_closed = False
        try:
            await self.broker.open(_NodeSubscriber(self.hub, self._on_survey))
        except BaseException:
            self.is_closed = True
            raise
        self.is_open = True

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return int(self._clock() * 1000)

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        """Runs something that has to be done before the node is closed."""
        running = asyncio.get_running_loop().create_task(contained(task))
        self._tasks.add(running)
        running.add_done_callback(self._done)

    def statistics(self) -> RoomStatistics:
        """What the rooms have done so far."""
        return RoomStatistics(
            rooms=len(self.hub),
            sessions=len(self.sessions),
            sessions_opened=self.sessions_opened,
            sessions_ended=dict(self.sessions_ended),
            messages_published=self.messages_published,
            deliveries=self.hub.deliveries,
            resumes=dict(self.resumes),
            outbox_bytes=sum(session.backlog for session in self.sessions),
        )

    def about(self) -> v1.Node:
        """This node, as it is now."""
        load = self._monitor.load
        return v1.Node(
            id=self._id,
            version=__version__,
            host=socket.gethostname(),
            address=self.address,
            pid=os.getpid(),
            started_at_ms=self._started_at_ms,
            sessions=len(self.sessions),
            rooms=len(self.hub),
            cpu=load.cpu,
            loop_lag=load.loop_lag,
            published_per_second=load.published,
            delivered_per_second=load.delivered,
            draining=self.is_draining,
        )

    def disconnect(self, request: v1.DisconnectRequest) -> int:
        """Ends the sessions of a user on this node; says how many."""
        kind = EndingReason.SENT_BACK if request.reconnect else EndingReason.SENT_AWAY
        ending = kind(why=request.reason)
        found = [
            session
            for session in self.sessions
            if session.user == request.user and request.room in ("", session.room)
        ]
        for session in found:
            session.end(ending)
        return len(found)

    def _on_survey(self, command: bytes) -> bytes:
        return answer_to(command, self.about, self.disconnect)

    def drain(self, grace: float) -> None:
        """Ends all sessions, and new ones at once: not all together, but within half of `grace`."""
        self.is_draining = True
        loop, ending = asyncio.get_running_loop(), EndingReason.DRAINING()
        for session in self.sessions:
            loop.call_later(random.uniform(0, grace / 2), session.end, ending)  # noqa: S311

    async def close(self) -> None:
        """Waits for what is under way, and closes the broker. All sessions have ended.

        What follows the end of a session, such as a hook, is given up after a second.
        """
        self.is_draining = self.is_closed = True
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks), timeout=PATIENCE)
            if late:
                log.warning("the rooms close while %d sessions are not taken leave of", len(late))
                for task in late:
                    task.cancel()
                await asyncio.wait(late, timeout=PATIENCE)
        await self.subscriptions.settle()
        await self.broker.close()

    def _flush_soon(self, room: Room) -> None:
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unflushed.append(room)

    def _flush(self) -> None:
        rooms, self._unflushed = self._unflushed, []
        for room in rooms:
            room.flush()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, BrokerError):
                log.warning("%s", error)
            else:
                log.error("what follows a session failed", exc_info=error)


class _NodeSubscriber:
    """Pass the broker's events to the hub, and the surveys of other nodes to the node."""

    def __init__(self, hub: Hub, on_survey: Callable[[bytes], bytes]) -> None:
        self._hub = hub
        self._on_survey = on_survey

    def begins_at(self, room: str, position: Position) -> None:
        self._hub.begins_at(room, position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        self._hub.published(room, publications)

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        self._hub.presence_changed(room, user, joined)

    def on_survey(self, command: bytes) -> bytes:
        return self._on_survey(command)

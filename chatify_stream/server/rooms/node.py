"""The rooms of one server: the broker, the hub that it feeds, and the open sessions.

Rules: publications that arrive in one turn of the event loop are delivered together in the next.
A session that has ended leaves the broker's presence in a background task, and the broker closes
after these tasks.

Nodes that share a broker survey each other. A command is a word, a space, and a message of the
Rooms service; an answer is such a message alone. Nodes of different versions may share a broker, so
a node answers an unknown command with nothing and ignores unknown fields.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Protocol, TypeVar

from ..._version import __version__
from ...brokers import Broker
from ...errors import BrokerError
from ...messages.chatify.rooms import v1
from ...rooms import Disconnect, DisconnectReason, Hub, Room
from ...wire import decode_message
from ..load_monitor import LoadMonitor
from .hook_runner import HookRunner
from .hooks import JoinedSession, RoomObserver
from .options import RoomOptions
from .subscriptions import Subscriptions, contain_exit

log = logging.getLogger(__name__)

CLEANUP_TIMEOUT = 1.0
"""Seconds that closing waits for the background tasks of sessions."""

NODE, DISCONNECT = b"node", b"disconnect"

ASK_NODE = NODE + b" "
"""Asks for the state of a node; the answer is a `Node`."""

T = TypeVar("T", v1.DisconnectResponse, v1.Node)


class OpenSession(Protocol):
    room: str
    user: str

    def end(self, disconnect: Disconnect) -> None:
        """End the session soon. Does nothing for a session that has ended."""

    @property
    def backlog(self) -> int:
        """Bytes buffered for the client."""


@dataclass(frozen=True)
class RoomStatistics:
    """Statistics of the rooms of one server. Counters start at 0 with the server."""

    rooms: int
    """Rooms with a session on this server."""
    sessions: int
    """Open sessions."""
    sessions_opened: int
    """Sessions opened so far."""
    sessions_ended: Mapping[str, int]
    """Sessions ended so far, by the name of the reason."""
    messages_published: int
    """Messages published so far by the sessions of this server and by its program."""
    deliveries: int
    """Messages sent so far, counted once for each session; without history and resumes."""
    resumes: Mapping[bool, int]
    """Sessions that asked to resume: those that resumed (True), and those that could not."""
    outbox_bytes: int
    """Bytes buffered for clients that read slowly."""


class Node:
    """The state that the sessions of one server share."""

    def __init__(
        self,
        options: RoomOptions,
        *,
        clock: Callable[[], float] = time.time,
        instrument: Callable[[Broker], Broker] = lambda broker: broker,
        observers: Sequence[RoomObserver] = (),
        monitor: LoadMonitor | None = None,
    ) -> None:
        """Create the node, and its broker, without opening them.

        `clock` returns seconds since 1970. `instrument` returns the broker to use in place of the
        one that the options name. `monitor` has the load of this process; the node does not start
        it.
        """
        self.options = options
        self.hooks = HookRunner(options)
        self._observers = tuple(observers)
        self._instrument = instrument
        self.broker = instrument(options.make_broker())
        self.hub = _NodeHub(self)
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
        """HOST:PORT on which the server listens; empty for a Unix socket."""
        self._monitor = monitor or LoadMonitor()
        self._monitor.message_counts = lambda: (self.messages_published, self.hub.deliveries)
        self._id = token_urlsafe(9)
        self._clock = clock
        self._started_at_ms = self.now_ms()
        self.background = BackgroundTasks()

    async def open(self) -> None:
        """Open the broker; after `close`, make a new one first. Raises `BrokerError`."""
        if self.is_closed:
            self.broker = self._instrument(self.options.make_broker())
            self.subscriptions = Subscriptions(self.hub, self.broker)
            self.is_draining = self.is_closed = False
        try:
            await self.broker.open(self.hub)
        except BaseException:
            self.is_closed = True
            raise
        self.is_open = True

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""
        return int(self._clock() * 1000)

    def statistics(self) -> RoomStatistics:
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

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        for observer in self._observers:
            try:
                observer.session_joined(session, recovered)
            except BaseException:  # SystemExit would end the session
                log.exception("an observer failed")

    def describe(self) -> v1.Node:
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
        """End the sessions of a user on this node, and return their number."""
        reasons = DisconnectReason.DISCONNECTED, DisconnectReason.RECONNECT_REQUESTED
        disconnect = reasons[bool(request.reconnect)](why=request.reason)
        same_user = [each for each in self.sessions if each.user == request.user]
        found = [each for each in same_user if request.room in ("", each.room)]
        for session in found:
            session.end(disconnect)
        return len(found)

    def drain(self, grace: float) -> None:
        """End all sessions, and reject new ones.

        The sessions end at random times within half of `grace` seconds, so that their clients do
        not all reconnect at once.
        """
        self.is_draining = True
        loop, disconnect = asyncio.get_running_loop(), DisconnectReason.DRAINING()
        for session in self.sessions:
            loop.call_later(random.uniform(0, grace / 2), session.end, disconnect)  # noqa: S311

    async def close(self) -> None:
        """Close the broker, after the background tasks of ended sessions.

        All sessions must have ended. Tasks that take longer than a second, such as a hook, are
        cancelled.
        """
        self.is_draining = self.is_closed = True
        await self.background.finish(CLEANUP_TIMEOUT)
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


class _NodeHub(Hub):
    """Receives the broker's events, and answers the surveys of other nodes."""

    def __init__(self, node: Node) -> None:
        super().__init__(node._flush_soon)
        self._node = node

    def on_survey(self, command: bytes) -> bytes:
        return answer_to(command, self._node)


def disconnect_command(request: v1.DisconnectRequest) -> bytes:
    """Return the command to disconnect a user; the answer is a `DisconnectResponse`."""
    return DISCONNECT + b" " + bytes(request)


def answer_to(command: bytes, node: Node) -> bytes:
    """Carry out a command, and return the answer. Raises nothing."""
    word, _, body = command.partition(b" ")
    try:
        if word == NODE:
            return bytes(node.describe())
        if word == DISCONNECT:
            request = decode_message(body, v1.DisconnectRequest)
            return bytes(v1.DisconnectResponse(sessions=node.disconnect(request)))
        log.debug("ignoring an unknown command of another server: %r", word[:20])
    except Exception:
        log.exception("could not answer a command of another server")
    return b""


def read_answers(kind: type[T], answers: Iterable[bytes]) -> list[T]:
    """Decode answers. Those that are not valid are logged and left out."""
    found: list[T] = []
    for answer in answers:
        try:
            found.append(decode_message(answer, kind))
        except ValueError as error:
            log.error("ignoring an invalid answer of another server: %s", error)
    return found


class BackgroundTasks:
    """Tasks that outlive the session that started them. Their errors are logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(contain_exit(work))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def finish(self, timeout: float) -> None:
        """Wait `timeout` seconds for the tasks, then cancel those that still run.

        Waits for cancelled tasks for at most another `timeout`.
        """
        if not self._tasks:
            return
        _, late = await asyncio.wait(list(self._tasks), timeout=timeout)
        if late:
            log.warning("closing the rooms: cancelling the cleanup of %d sessions", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=timeout)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, BrokerError):
                log.warning("%s", error)
            else:
                log.error("the cleanup of a session failed", exc_info=error)

"""The contract of brokers, which keep the logs and the presence of rooms.

A broker knows nothing of sessions, servers or the transport. It reports events to one subscriber.
All calls in both directions happen in one event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ..errors import BrokerError
from ..rooms import Draft, LogPage, Presence, Publication, Receipt
from ..rooms.position import Position


class Subscriber(Protocol):
    """Receives the events of a broker.

    The broker calls these methods from the event loop. They must not block and must not call the
    broker.
    """

    def begins_at(self, room: str, position: Position) -> None:
        """Set the position after which publications of `room` will be delivered.

        Called before `subscribe` returns. Called again when delivery cannot continue without a
        gap: with a new epoch if the log was lost or reset, with the same epoch if the missing
        messages have been trimmed.
        """

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        """Deliver the next publications of `room`, in offset order, without gaps or duplicates."""

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        """Report that a user's first session joined the room, or that the last one left it."""

    def on_survey(self, command: bytes) -> bytes:
        """Answer a command that another server sent with `survey`. Must not raise."""


class RoomInfo(NamedTuple):
    """An entry in the list of rooms."""

    name: str
    newest: Position
    users: int


class RoomPage(NamedTuple):
    """A part of the list of rooms."""

    rooms: list[RoomInfo]
    """Sorted by name, in code point order."""
    has_more: bool


class Answers(NamedTuple):
    """The answers of the other servers to one `survey`."""

    answers: list[bytes]
    """In no particular order."""
    missing: int
    """Number of servers that received the command and did not answer in time."""


class Broker(Protocol):
    """Keeps the logs and the presence of all rooms.

    The caller has validated names, ids and texts. A method raises `BrokerError` within a bounded
    time if the storage is unavailable, full or damaged. The broker recovers without help when the
    storage does.

    Cancelling a method loses nothing, but the request may or may not have taken effect.
    """

    @property
    def is_available(self) -> bool:
        """Whether the broker is open and, as far as it knows, its storage responds.

        Reading it costs nothing and contacts nothing, so it may lag behind the truth by seconds.
        Use it for probes and metrics. Other callers should call the method they need and handle
        `BrokerError`.
        """

    async def open(self, subscriber: Subscriber) -> None:
        """Connect to the storage. Call this first, and once.

        Raises `BrokerError` with the reason if the storage cannot be used.
        """

    async def close(self) -> None:
        """Wait for operations in progress and release all resources. May be called again.

        Before `open` and after `close`, `unsubscribe` and `leave` do nothing, and all other methods
        raise `BrokerError`.
        """

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append messages to the log of `room`: either all of them or none.

        Returning is the acknowledgement: the messages are in the log, as durable as this broker
        makes them. They have consecutive offsets in the order of `drafts`, and calls of one task
        keep their order. Each new message is delivered to the subscriber if it is subscribed to the
        room.

        A draft is not published again if its user published its id in this room within the last
        five minutes. Its receipt holds the first position and tells whether the texts are equal.
        This also applies to two drafts of one call. A draft without an id is always published.

        Raises `BrokerError` if the messages are not known to be in the log. They may still be
        there; drafts with ids can be published again safely.
        """

    async def read(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> LogPage:
        """Return at most `limit` stored messages with `after` < offset < `before`.

        These are the oldest matching messages or, with `newest`, the newest. They are contiguous,
        in offset order, and within the room's retention. The log of an unused room is empty.
        """

    async def subscribe(self, room: str) -> None:
        """Start to report the events of `room` to the subscriber. Called once a room."""

    async def unsubscribe(self, room: str) -> None:
        """Stop to report the events of `room`; do nothing if it is not subscribed to."""

    async def enter(self, room: str, user: str, session_id: str) -> None:
        """Add the session to the room until `leave`, or until this process ends.

        After a crash the entry may remain for its time to live, 60 s.
        """

    async def leave(self, room: str, user: str, session_id: str) -> None:
        """Remove the session from the room; do nothing if it is not there."""

    async def users(self, room: str) -> list[str]:
        """Return the users in the room, sorted, each once. May be 60 s stale."""

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        """Return rooms that have messages or users and whose name starts with `prefix`.

        Returns at most `limit` rooms in the order of their names, beginning behind the name
        `after`.
        """

    async def survey(self, command: bytes) -> Answers:
        """Send a command to every other server that shares this broker, and collect the answers.

        Waits for a bounded time. Each server receives the command at most once. A server that is
        not connected to the storage at that moment does not receive it and is not counted. A
        broker that serves a single server returns no answers.
        """


class SingleServerBroker(ABC):
    """The presence half of a `Broker` for a single server; subclasses keep the logs.

    Presence is kept in memory only, because the sessions of the only server end with its process.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._clock = clock
        self._presence = Presence()
        self._subscriber: Subscriber | None = None

    @property
    def is_available(self) -> bool:
        return self._subscriber is not None

    async def enter(self, room: str, user: str, session_id: str) -> None:
        subscriber = self._open_subscriber()
        if self._presence.enter(room, user, session_id):
            subscriber.presence_changed(room, user, True)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        if self._presence.leave(room, user, session_id) and self._subscriber is not None:
            self._subscriber.presence_changed(room, user, False)

    async def users(self, room: str) -> list[str]:
        self._open_subscriber()
        return self._presence.users(room)

    async def survey(self, command: bytes) -> Answers:
        self._open_subscriber()
        return Answers([], 0)

    @abstractmethod
    def _newest(self, room: str) -> Position:
        """Return the position of the newest message of a room; no epoch if the room is unknown."""

    def _info(self, room: str) -> RoomInfo:
        return RoomInfo(room, self._newest(room), self._presence.count(room))

    def _open_subscriber(self) -> Subscriber:
        if self._subscriber is None:
            raise BrokerError(self._url, "not open")
        return self._subscriber

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

"""What a broker promises. It keeps the logs of the rooms, and knows who is in them.

A broker knows nothing of sessions, servers or the wire. It tells one subscriber what happens, and
every method of it is called, and calls, in one event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..rooms import Draft, LogPage, Publication, Receipt
from ..rooms.position import Position

__all__ = ["Answers", "Broker", "RoomInfo", "RoomPage", "Subscriber"]


class Subscriber(Protocol):
    """Who is told. Its methods do not wait, and do not call the broker."""

    def begins_at(self, room: str, position: Position) -> None:
        """What is published in the room after this position is told from now on.

        Comes before `subscribe` returns; and again, with a new epoch, when the log of the room was
        lost or reset; or with the same epoch, when what is missing here is not kept any more.
        """

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        """The next messages of a room, in the order of their offsets, without a hole, each once."""

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        """The first session of a user has come to the room, or the last one has left it."""

    def on_survey(self, command: bytes) -> bytes:
        """Answer a command that another server sent with `survey`. Must not raise."""


class RoomInfo(NamedTuple):
    """One room, as `rooms` lists it."""

    name: str
    newest: Position
    users: int


class RoomPage(NamedTuple):
    """A part of the list of rooms."""

    rooms: list[RoomInfo]
    """In the order of their names, by code points."""
    has_more: bool


class Answers(NamedTuple):
    """The answers of the other servers to one `survey`."""

    answers: list[bytes]
    """In no order."""
    missing: int
    """Number of servers that received the command and did not answer in time."""


class Broker(Protocol):
    """The logs and the presence of all rooms.

    Names, ids and texts have been checked by the caller. A method that cannot do what it is asked
    because the storage is away, full or damaged raises `BrokerError`, in bounded time; the broker
    works again by itself when the storage does.

    Cancelling a method loses nothing: what had been asked for may have happened or not.
    """

    @property
    def is_available(self) -> bool:
        """It is open, and as far as it knows its storage can be asked.

        Costs nothing, and asks nobody: storage that has just gone away may still seem to be there,
        for seconds. It is for probes and metrics; who wants something asks for it, and is told.
        """

    async def open(self, subscriber: Subscriber) -> None:
        """Comes first, once. Raises `BrokerError` for storage that cannot be used, with why."""

    async def close(self) -> None:
        """Waits for what is under way, and gives everything back. May be called again.

        Before `open`, and from here on, `unsubscribe` and `leave` do nothing, and the other methods
        raise `BrokerError`.
        """

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        """Puts messages into the log of a room, all of them together or none.

        When it returns, they are in the log, as durable as the broker makes them: that is the
        acknowledgement. They have got the next offsets, in their order, and nothing is between
        them; the calls of one task keep their order too. Each published message is told to whoever
        is subscribed to the room.

        A draft whose id its user has published in the room within the last five minutes is not
        published again: its receipt has the first position, and says whether the text was the
        same. That holds for two drafts of one call, too. A draft without id is always published.

        Raises `BrokerError` when they are not known to be in the log. They may be all the same;
        those that have ids can be published again.
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
        """At most `limit` of the messages that are kept, with `after` < offset < `before`.

        They are the oldest of these, or with `newest` the newest; always in the order of their
        offsets, contiguous, and within the room's retention. A room that nobody has used has an
        empty log.
        """

    async def subscribe(self, room: str) -> None:
        """From now on the subscriber is told what happens in the room. Asked for once a room."""

    async def unsubscribe(self, room: str) -> None:
        """Ends that; does nothing for a room that is not subscribed to."""

    async def enter(self, room: str, user: str, session_id: str) -> None:
        """The session is in the room until `leave`, or until this process is gone.

        The entry of a process that died may stay for one time to live, 60 s.
        """

    async def leave(self, room: str, user: str, session_id: str) -> None:
        """The session has left; does nothing for one that is not there."""

    async def users(self, room: str) -> list[str]:
        """Who is in the room, in the order of their names, each once. May be 60 s stale."""

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        """The rooms that keep messages or have users, of names that begin with `prefix`.

        At most `limit`, in the order of their names, from behind the name `after`.
        """

    async def survey(self, command: bytes) -> Answers:
        """Send a command to every other server that shares this broker, and collect the answers.

        Waits for a bounded time. Each server receives the command at most once. A server that is
        not connected to the storage at that moment does not receive it and is not counted. A
        broker that serves a single server returns no answers.
        """

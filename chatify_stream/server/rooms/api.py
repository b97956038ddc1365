"""The rooms of a server, for the program that embeds it and for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...brokers import RoomPage
from ...errors import ClosedError, RefusedError, TooLargeError, UsageError
from ...messages.chatify.rooms import v1
from ...rooms import Draft, LogPage, Outcome, Receipt, check_id, check_name
from ...rooms.position import MAX_OFFSET, Position
from .node import ASK_NODE, Node, RoomStatistics, disconnect_command, read_answers

MAX_REASON_LENGTH = 256
"""Characters. The reason is sent in trailers, whose size clients limit."""


class Disconnected(NamedTuple):
    """The result of disconnecting a user."""

    sessions: int
    """Number of sessions that were ended."""
    missing: int
    """Number of servers that were asked and did not answer in time."""


class Nodes(NamedTuple):
    """The servers that share a broker."""

    nodes: list[v1.Node]
    """The servers that answered, and this one, sorted by host, address and pid."""
    missing: int
    """Number of further servers that were asked and did not answer in time."""


class Rooms:
    """Reads and writes the rooms of a running server, as `ChatServer.rooms`.

    The hooks of the server are not called: they check what clients send. Cancelling a method that
    waits has no effect on the rooms, except that a message may have been published or not.

    Every method raises `UsageError` for an argument that is not valid and before the server is
    started, and `ClosedError` after it is closed. Methods that wait raise `BrokerError`, in bounded
    time, if the broker is unavailable, full or damaged.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def publish(self, room: str, user: str, text: str, *, id: str = "") -> Position:  # noqa: A002
        """Publish one message as `user`, and return its position.

        Waits until the broker has stored the message. If the user has published a message with this
        `id` in the room within five minutes, nothing is published, and the position is that of the
        first message. Without `id` a message is always published.

        Raises `RefusedError` if the id was used for another text, and `TooLargeError` if the text
        is larger than `RoomOptions.max_message_size`.
        """
        receipt = await self.publish_once(room, user, text, id)
        if receipt.outcome is Outcome.CONFLICT:
            raise RefusedError(
                f"the id {id!r} was published with another text, at offset "
                f"{receipt.position.offset}; a new message needs a new id"
            )
        return receipt.position

    async def publish_once(self, room: str, user: str, text: str, message_id: str) -> Receipt:
        """Publish as `publish` does, but return the outcome instead of raising `RefusedError`."""
        _check(check_name, "room", room)
        _check(check_name, "user", user)
        _check(check_id, message_id)
        limit = self._node.options.max_message_size
        size = _size("text", text)
        if size > limit:
            raise TooLargeError(f"the text has {size} bytes; at most {limit} are allowed in a room")
        draft = Draft(user, text, message_id, self._node.now_ms())
        (receipt,) = await self._open().broker.publish(room, [draft])
        if receipt.outcome is Outcome.PUBLISHED:
            self._node.messages_published += 1
        return receipt

    async def history(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> LogPage:
        """Return at most `limit` stored messages with `after` < offset < `before`.

        Returns the oldest messages in that range, or with `newest` the newest, always in the order
        of their offsets. The page also has the position of the room's newest message and the offset
        of its oldest.
        """
        _check(check_name, "room", room)
        _check_number("limit", limit, 1)
        _check_number("after", after, 0)
        if before is not None:
            _check_number("before", before, 0)
        return await self._open().broker.read(
            room, after=after, before=before, limit=limit, newest=newest
        )

    async def presence(self, room: str) -> list[str]:
        """Return the users in a room, sorted by name. The list may be 60 seconds old."""
        _check(check_name, "room", room)
        return await self._open().broker.users(room)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 100) -> RoomPage:
        """Return at most `limit` rooms that have messages or users, sorted by name.

        Only rooms whose names begin with `prefix` and come after the name `after` are returned.
        """
        _check_number("limit", limit, 1)
        for name, text in {"prefix": prefix, "after": after}.items():
            _size(name, text)
        return await self._open().broker.rooms(prefix=prefix, after=after, limit=limit)

    def disconnect(
        self,
        user: str,
        room: str | None = None,
        *,
        reason: str = "by an operator",
        reconnect: bool = False,
    ) -> int:
        """End the sessions of a user on this server, and return their number. Does not wait.

        `room` limits it to one room. The clients receive `reason`, at most 256 characters; with
        `reconnect` they may reconnect and resume, otherwise our clients stay away.
        """
        return self._open().disconnect(_disconnect_request(user, room, reason, reconnect))

    async def disconnect_everywhere(
        self,
        user: str,
        room: str | None = None,
        *,
        reason: str = "by an operator",
        reconnect: bool = False,
    ) -> Disconnected:
        """End the sessions of a user on every server that shares the broker.

        Waits for the other servers for a few seconds. A server without a connection to the broker
        does not receive the request and is not counted. If this raises `BrokerError`, the sessions
        on this server have been ended.
        """
        request = _disconnect_request(user, room, reason, reconnect)
        node = self._open()
        own = node.disconnect(request)
        survey = await node.broker.survey(disconnect_command(request))
        others = read_answers(v1.DisconnectResponse, survey.answers)
        return Disconnected(own + sum(other.sessions for other in others), survey.missing)

    async def nodes(self) -> Nodes:
        """Return the state of every server that shares the broker.

        Waits for the other servers for a few seconds.
        """
        node = self._open()
        survey = await node.broker.survey(ASK_NODE)
        found = [node.describe(), *(n for n in read_answers(v1.Node, survey.answers) if n.id)]
        found.sort(key=lambda each: (each.host, each.address, each.pid))
        return Nodes(found, survey.missing)

    def statistics(self) -> RoomStatistics:
        """Return the statistics of the rooms on this server."""
        return self._node.statistics()

    def _open(self) -> Node:
        if self._node.is_closed:
            raise ClosedError("the server is closed")
        if not self._node.is_open:
            raise UsageError("the server was not started: await start() first")
        return self._node


def _disconnect_request(
    user: str, room: str | None, reason: str, reconnect: bool
) -> v1.DisconnectRequest:
    """Return the request to disconnect a user. Raises `UsageError`."""
    _check(check_name, "user", user)
    if room is not None:
        _check(check_name, "room", room)
    _size("reason", reason)
    if len(reason) > MAX_REASON_LENGTH:
        raise UsageError(
            f"the reason has {len(reason)} characters; at most {MAX_REASON_LENGTH} are allowed"
        )
    return v1.DisconnectRequest(user=user, room=room or "", reason=reason, reconnect=reconnect)


def _check(check: Callable[..., object], *values: str) -> None:
    for value in values:
        if not isinstance(value, str):
            raise UsageError(f"{value!r} is not a str")
    try:
        check(*values)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_number(name: str, number: object, minimum: int) -> None:
    if type(number) is not int or not minimum <= number <= MAX_OFFSET:
        raise UsageError(f"{name}: {number!r} is not a whole number of at least {minimum}")


def _size(what: str, text: str) -> int:
    if not isinstance(text, str):
        raise UsageError(f"{what}: {text!r} is not a str")
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is not valid Unicode: {error.reason}") from None

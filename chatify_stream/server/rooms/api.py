"""What the program in which a server runs does with its rooms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...brokers import RoomPage
from ...errors import ClosedError, RefusedError, TooLargeError, UsageError
from ...messages.chatify.rooms import v1
from ...rooms import Draft, LogPage, Outcome, Receipt, check_id, check_name
from ...rooms.position import MAX_OFFSET, Position
from .node import Node, RoomStatistics
from .node_commands import ASK_NODE, disconnect_command, read_answers

__all__ = ["LONGEST_REASON", "Disconnected", "Nodes", "Rooms"]

LONGEST_REASON = 256
"""Characters; it goes into trailers, for which clients have little room."""


class Disconnected(NamedTuple):
    """What became of disconnecting a user."""

    sessions: int
    """How many were ended."""
    missing: int
    """Number of servers that were asked and did not answer in time."""


class Nodes(NamedTuple):
    """The servers that share a broker."""

    nodes: list[v1.Node]
    """In the order of their hosts, addresses and pids."""
    missing: int
    """Number of further servers that were asked and did not answer in time."""


class Rooms:
    """The rooms of a server that is started.

    Methods raise `UsageError` for wrong arguments, and `BrokerError` when the broker cannot do
    what it is asked. The hooks of the server are not asked: they are for what clients send.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def publish(self, room: str, user: str, text: str, *, id: str = "") -> Position:  # noqa: A002
        """Publishes one message, as `user`; its position once it is in the room's log.

        An id that the user has published in the room within five minutes is not published again:
        the position is the first one. Raises `RefusedError` when that was with another text.
        """
        receipt = await self.publish_once(room, user, text, id)
        if receipt.outcome is Outcome.CONFLICT:
            raise RefusedError(
                f"the id {id!r} was published with another text, at offset "
                f"{receipt.position.offset}; a new message needs a new id"
            )
        return receipt.position

    async def publish_once(self, room: str, user: str, text: str, message_id: str) -> Receipt:
        """As `publish`, with what became of the message."""
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
        """At most `limit` messages that are kept, with `after` < offset < `before`.

        They are the oldest of these, or with `newest` the newest; always the oldest first. With
        them come the position of the newest message of the room, and the offset of the oldest.
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
        """The users who are in a room, in the order of their names. May be 60 s stale."""
        _check(check_name, "room", room)
        return await self._open().broker.users(room)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 100) -> RoomPage:
        """The rooms that have messages or users, in the order of their names.

        Those whose names begin with `prefix`, at most `limit`, from behind the name `after`.
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
        """Ends the sessions of a user on this server, in one room or all; says how many.

        The client is told the reason, and with `reconnect` that it may come back and resume.
        """
        return self._open().disconnect(_disconnection(user, room, reason, reconnect))

    async def disconnect_everywhere(
        self,
        user: str,
        room: str | None = None,
        *,
        reason: str = "by an operator",
        reconnect: bool = False,
    ) -> Disconnected:
        """The same on every server that shares the broker; waits for them some seconds at most.

        A server that is cut off from the broker at that moment is not told. Raises `BrokerError`
        when the broker is away; the sessions on this server have been ended then.
        """
        request = _disconnection(user, room, reason, reconnect)
        node = self._open()
        own = node.disconnect(request)
        survey = await node.broker.survey(disconnect_command(request))
        others = read_answers(v1.DisconnectResponse, survey.answers)
        return Disconnected(own + sum(other.sessions for other in others), survey.missing)

    async def nodes(self) -> Nodes:
        """The servers that share the broker, this one among them, as they say that they are."""
        node = self._open()
        survey = await node.broker.survey(ASK_NODE)
        found = [node.describe(), *(n for n in read_answers(v1.Node, survey.answers) if n.id)]
        found.sort(key=lambda each: (each.host, each.address, each.pid))
        return Nodes(found, survey.missing)

    def statistics(self) -> RoomStatistics:
        """What the rooms have done so far."""
        return self._node.statistics()

    def _open(self) -> Node:
        if self._node.is_closed:
            raise ClosedError("the server is closed")
        if not self._node.is_open:
            raise UsageError("the server was not started: await start() first")
        return self._node


def _disconnection(
    user: str, room: str | None, reason: str, reconnect: bool
) -> v1.DisconnectRequest:
    """Raises `UsageError`."""
    _check(check_name, "user", user)
    if room is not None:
        _check(check_name, "room", room)
    _size("reason", reason)
    if len(reason) > LONGEST_REASON:
        raise UsageError(
            f"the reason has {len(reason)} characters; at most {LONGEST_REASON} are allowed"
        )
    return v1.DisconnectRequest(user=user, room=room or "", reason=reason, reconnect=reconnect)


def _check(check: Callable[..., object], *values: str) -> None:
    for value in values:
        if not isinstance(value, str):
            raise UsageError(f"{value!r} is no text")
    try:
        check(*values)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_number(name: str, number: object, least: int) -> None:
    if type(number) is not int or not least <= number <= MAX_OFFSET:
        raise UsageError(f"{name} is a whole number from {least}, not {number!r}")


def _size(what: str, text: str) -> int:
    """In bytes."""
    if not isinstance(text, str):
        raise UsageError(f"the {what} is a str, not {text!r}")
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is not valid Unicode: {error.reason}") from None

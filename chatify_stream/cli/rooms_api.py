"""Calls of the Rooms service, page by page, for the commands `rooms` and `nodes`.

Responses are not trusted: text from the server, errors included, is escaped. A history is a
contiguous part of one log, or an error: it ends with the message that was the newest when reading
began, and omits no message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from ..client import Channel
from ..client.call_metadata import next_token
from ..config import ClientSettings
from ..errors import CallError, PeerProtocolError, Status
from ..messages.chatify.rooms import v1
from ..rooms.position import Position
from ..wire import Cardinality
from .client_options import tls_from_settings, token_from_settings
from .exit_codes import CALL_FAILED, CommandError, exit_status
from .output import safe

MAX_PAGE_SIZE = 1000


class RoomEntry(NamedTuple):
    """A room, with the position of its newest message."""

    name: str
    users: int
    epoch: str
    offset: int


class MessageEntry(NamedTuple):
    """A message of a room."""

    epoch: str
    offset: int
    sent_at_ms: int
    user: str
    text: str
    id: str


class NodeEntry(NamedTuple):
    """A server that shares the rooms, with its load."""

    id: str
    version: str
    host: str
    address: str
    pid: int
    started_at_ms: int
    sessions: int
    rooms: int
    cpu: float
    loop_lag: float
    published_per_second: float
    delivered_per_second: float
    draining: bool


class RoomsCalls:
    """The calls of one command. Each call has the timeout of the settings.

    All methods raise `CallError`.
    """

    def __init__(self, channel: Channel, settings: ClientSettings) -> None:
        self._stub = _Stub(channel, settings)

    async def rooms(self, prefix: str, limit: int | None) -> AsyncIterator[list[RoomEntry]]:
        """Yield pages of the rooms whose names start with `prefix`, sorted by name.

        At most `limit` rooms; all rooms for None.
        """
        remaining, token = limit, ""
        while remaining is None or remaining > 0:
            answer = await self._stub.list_rooms(
                v1.ListRoomsRequest(
                    prefix=prefix, page_size=_page_size(remaining), page_token=token
                )
            )
            yield [RoomEntry(r.name, r.users, *_position(r.newest)) for r in answer.rooms]
            token = answer.next_page_token
            if not token:
                return
            remaining = None if remaining is None else remaining - len(answer.rooms)

    async def history(
        self, room: str, after: Position, limit: int | None
    ) -> AsyncIterator[list[MessageEntry]]:
        """Yield pages of at most `limit` messages after a position, oldest first.

        For a position with an empty epoch, start at the oldest stored message after its offset.
        """
        remaining, last = limit, None
        while remaining is None or remaining > 0:
            place = v1.Position(epoch=after.epoch, offset=after.offset)
            request = v1.HistoryRequest(room=room, after=place, limit=_page_size(remaining))
            answer = await self._stub.history(request)
            newest = _position(answer.newest)
            last = newest.offset if last is None else last
            found = [
                _message_entry(newest.epoch, message)
                for message in answer.messages
                if message.offset <= last
            ]
            yield found
            if not found or found[-1].offset == last:
                return
            after = Position(newest.epoch, found[-1].offset)
            remaining = None if remaining is None else remaining - len(found)

    async def history_backwards(
        self, room: str, before: int, limit: int | None
    ) -> AsyncIterator[list[MessageEntry]]:
        """Yield pages of at most `limit` messages before an offset, newest first.

        0 starts at the newest message.
        """
        remaining, epoch = limit, None
        while remaining is None or remaining > 0:
            request = v1.HistoryRequest(
                room=room, limit=_page_size(remaining), backwards=True, before=before
            )
            answer = await self._stub.history(request)
            newest = _position(answer.newest)
            if epoch not in (None, newest.epoch):
                raise CommandError(
                    "the history of the room was lost or reset while it was read; its epoch is now "
                    f"{safe(newest.epoch)}",
                    CALL_FAILED,
                )
            epoch = newest.epoch
            found = [_message_entry(epoch, message) for message in answer.messages]
            yield found
            if not found or found[-1].offset <= answer.oldest_offset:
                return
            before = found[-1].offset
            remaining = None if remaining is None else remaining - len(found)

    async def users(self, room: str) -> list[str]:
        """Return the users in a room, sorted by name."""
        return (await self._stub.presence(v1.PresenceRequest(room=room))).users

    async def user_count(self, room: str) -> int:
        """Return the number of users in a room."""
        request = v1.PresenceRequest(room=room, count_only=True)
        return (await self._stub.presence(request)).count

    async def publish(
        self, room: str, user: str, text: str, message_id: str
    ) -> tuple[Position, bool]:
        """Publish a message. Return its position, and whether it had been published before."""
        request = v1.PublishRequest(room=room, user=user, text=text, id=message_id)
        answer = await self._stub.publish(request)
        return _position(answer.position), answer.duplicate

    async def disconnect(
        self, user: str, room: str, reason: str, reconnect: bool
    ) -> tuple[int, int]:
        """End sessions of a user. Return their number, and the number of missing servers.

        A missing server did not answer in time.
        """
        request = v1.DisconnectRequest(user=user, room=room, reason=reason, reconnect=reconnect)
        answer = await self._stub.disconnect(request)
        return answer.sessions, answer.silent

    async def nodes(self) -> tuple[list[NodeEntry], int]:
        """Return the servers that share the rooms, and the number of missing servers."""
        answer = await self._stub.list_nodes(v1.ListNodesRequest())
        entries = [
            NodeEntry(*(getattr(node, name) for name in NodeEntry._fields)) for node in answer.nodes
        ]
        return entries, answer.silent


@asynccontextmanager
async def connect_rooms(settings: ClientSettings) -> AsyncIterator[RoomsCalls]:
    """Connect to the Rooms service. Raises `CommandError` for a failed call in the block."""
    channel = Channel(
        target=settings.target,
        connect_timeout=settings.connect_timeout,
        ssl=tls_from_settings(settings),
    )
    async with channel:
        try:
            yield RoomsCalls(channel, settings)
        except CallError as error:
            text = safe(str(error))
            if error.status is Status.UNIMPLEMENTED:
                text = (
                    f"{channel.target}: the Rooms service is not enabled; start the server with "
                    "--rooms-service (if it uses --rooms-port, pass that port in --target)"
                )
            raise CommandError(text, exit_status(error)) from error


class _Stub(v1.RoomsStub):
    """The generated stub, with a token and optionally waiting for the server."""

    def __init__(self, channel: Channel, settings: ClientSettings) -> None:
        super().__init__(channel, timeout=settings.timeout)
        self._channel = channel
        self._wait_for_ready = settings.wait_for_ready
        self._token = token_from_settings(settings)
        self._connect_timeout = settings.connect_timeout

    async def _unary_unary(
        self, route: str, request: Any, response_type: Any, **options: Any
    ) -> Any:
        metadata = None
        if self._token is not None:
            token = await next_token(self._token, self._connect_timeout)
            metadata = {"authorization": f"Bearer {token}"}
        async with self._channel.request(
            route,
            Cardinality.UNARY_UNARY,
            type(request),
            response_type,
            timeout=self.timeout,
            metadata=metadata,
            wait_for_ready=self._wait_for_ready,
        ) as stream:
            await stream.send_message(request, end=True)
            return await stream.recv_message()


def missing_text(servers: int) -> str:
    """Return the error text for servers that did not answer."""
    return f"{servers} server{'' if servers == 1 else 's'} did not answer in time"


def _page_size(remaining: int | None) -> int:
    return MAX_PAGE_SIZE if remaining is None else min(remaining, MAX_PAGE_SIZE)


def _position(position: v1.Position | None) -> Position:
    if position is None:
        raise PeerProtocolError(Status.INTERNAL, "the response of the server has no position")
    return Position(position.epoch, position.offset)


def _message_entry(epoch: str, message: v1.Message) -> MessageEntry:
    return MessageEntry(
        epoch, message.offset, message.sent_at_ms, message.user, message.text, message.id
    )

"""What the commands of `rooms` ask of the Rooms service, page by page.

Rules: what a server says is not obeyed, its errors neither. A history is one piece of one log, or
an error: it ends with what was the newest message when it began, and never leaves one out.
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
from .client_options import client_tls_of, token_of
from .exit_codes import CALL_FAILED, CommandError, exit_status
from .output import safe

__all__ = ["NodeEntry", "RoomEntry", "RoomsCalls", "Said", "calling_rooms", "silence"]

LARGEST_PAGE = 1000


class RoomEntry(NamedTuple):
    """A room, with the position of its newest message."""

    name: str
    users: int
    epoch: str
    offset: int


class Said(NamedTuple):
    """A message of a room."""

    epoch: str
    offset: int
    sent_at_ms: int
    user: str
    text: str
    id: str


class NodeEntry(NamedTuple):
    """A server of those that share the rooms."""

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
    """The calls of one command. Each may take `timeout` seconds."""

    def __init__(self, channel: Channel, settings: ClientSettings) -> None:
        self._stub = _Stub(channel, settings)

    async def rooms(self, prefix: str, limit: int | None) -> AsyncIterator[list[RoomEntry]]:
        """The rooms with the prefix, in the order of their names."""
        left, token = limit, ""
        while left is None or left > 0:
            answer = await self._stub.list_rooms(
                v1.ListRoomsRequest(prefix=prefix, page_size=_page_size(left), page_token=token)
            )
            yield [RoomEntry(r.name, r.users, *_position(r.newest)) for r in answer.rooms]
            token = answer.next_page_token
            if not token:
                return
            left = None if left is None else left - len(answer.rooms)

    async def history(
        self, room: str, after: Position, limit: int | None
    ) -> AsyncIterator[list[Said]]:
        """The messages after a position, the oldest first.

        Where its epoch is empty, from the oldest that is kept after its offset.
        """
        left, last = limit, None
        while left is None or left > 0:
            place = v1.Position(epoch=after.epoch, offset=after.offset)
            request = v1.HistoryRequest(room=room, after=place, limit=_page_size(left))
            answer = await self._stub.history(request)
            newest = _position(answer.newest)
            last = newest.offset if last is None else last
            found = [_said(newest.epoch, it) for it in answer.messages if it.offset <= last]
            yield found
            if not found or found[-1].offset == last:
                return
            after = Position(newest.epoch, found[-1].offset)
            left = None if left is None else left - len(found)

    async def history_backwards(
        self, room: str, before: int, limit: int | None
    ) -> AsyncIterator[list[Said]]:
        """The messages before an offset, the newest first; 0 stands for all."""
        left, epoch = limit, None
        while left is None or left > 0:
            request = v1.HistoryRequest(
                room=room, limit=_page_size(left), backwards=True, before=before
            )
            answer = await self._stub.history(request)
            newest = _position(answer.newest)
            if epoch not in (None, newest.epoch):
                raise CommandError(
                    "the log of the room was lost or reset meanwhile: its epoch is "
                    f"{safe(newest.epoch)} now",
                    CALL_FAILED,
                )
            epoch = newest.epoch
            found = [_said(epoch, message) for message in answer.messages]
            yield found
            if not found or found[-1].offset <= answer.oldest_offset:
                return
            before = found[-1].offset
            left = None if left is None else left - len(found)

    async def users(self, room: str) -> list[str]:
        """Who is in a room, in the order of their names."""
        return (await self._stub.presence(v1.PresenceRequest(room=room))).users

    async def user_count(self, room: str) -> int:
        """How many are."""
        request = v1.PresenceRequest(room=room, count_only=True)
        return (await self._stub.presence(request)).count

    async def publish(
        self, room: str, user: str, text: str, message_id: str
    ) -> tuple[Position, bool]:
        """Where the message is, and whether it had been published before."""
        request = v1.PublishRequest(room=room, user=user, text=text, id=message_id)
        answer = await self._stub.publish(request)
        return _position(answer.position), answer.duplicate

    async def disconnect(
        self, user: str, room: str, reason: str, reconnect: bool
    ) -> tuple[int, int]:
        """How many sessions were ended, and how many servers have not answered."""
        request = v1.DisconnectRequest(user=user, room=room, reason=reason, reconnect=reconnect)
        answer = await self._stub.disconnect(request)
        return answer.sessions, answer.silent

    async def nodes(self) -> tuple[list[NodeEntry], int]:
        """The servers that share the rooms, and how many more have not answered."""
        answer = await self._stub.list_nodes(v1.ListNodesRequest())
        entries = [
            NodeEntry(*(getattr(node, name) for name in NodeEntry._fields)) for node in answer.nodes
        ]
        return entries, answer.silent


@asynccontextmanager
async def calling_rooms(settings: ClientSettings) -> AsyncIterator[RoomsCalls]:
    """Raises `CommandError` for a call that has failed."""
    channel = Channel(
        target=settings.target,
        connect_timeout=settings.connect_timeout,
        ssl=client_tls_of(settings),
    )
    async with channel:
        try:
            yield RoomsCalls(channel, settings)
        except CallError as error:
            text = safe(str(error))
            if error.status is Status.UNIMPLEMENTED:
                text = (
                    f"{channel.target} does not serve rooms to operators: start it with "
                    "--rooms-service; where that has a --rooms-port, this is the --target"
                )
            raise CommandError(text, exit_status(error)) from error


class _Stub(v1.RoomsStub):
    """The generated one, whose calls may wait for ready."""

    def __init__(self, channel: Channel, settings: ClientSettings) -> None:
        super().__init__(channel, timeout=settings.timeout)
        self._channel = channel
        self._wait_for_ready = settings.wait_for_ready
        self._token = token_of(settings)
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


def silence(servers: int) -> str:
    """Says that some were told, and have not answered."""
    return f"{servers} server{'' if servers == 1 else 's'} did not answer in time"


def _page_size(left: int | None) -> int:
    return LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)


def _position(position: v1.Position | None) -> Position:
    if position is None:
        raise PeerProtocolError(Status.INTERNAL, "the server has left out a position")
    return Position(position.epoch, position.offset)


def _said(epoch: str, message: v1.Message) -> Said:
    return Said(epoch, message.offset, message.sent_at_ms, message.user, message.text, message.id)

"""Calls of the Rooms service, page by page, for the commands `rooms` and `nodes`.

Responses are not trusted: text from the server, errors included, is escaped. A history is a
contiguous part of one log, or an error: it ends with the message that was the newest when reading
began, and omits no message.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, NamedTuple

from ..client import Channel
from ..client.call_metadata import next_token
from ..config import ClientSettings, Settings
from ..errors import CallError, PeerProtocolError, Status
from ..messages.chatify.rooms import v1
from ..rooms.position import Position
from ..wire import Cardinality
from .client_options import open_channel, token_from_settings
from .exit_codes import CALL_FAILED, CommandError, exit_status
from .options import LOG, with_settings
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


class RoomsClient(v1.RoomsStub):
    """The generated stub, with a token, optionally waiting for the server, and pages of entries.

    Each call has the timeout of the settings. All methods raise `CallError`.
    """

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

    async def rooms(self, prefix: str, limit: int | None) -> AsyncIterator[list[RoomEntry]]:
        """Yield pages of the rooms whose names start with `prefix`, sorted by name.

        At most `limit` rooms; all rooms for None.
        """
        remaining, token = limit or sys.maxsize, ""
        while remaining > 0:
            size = min(remaining, MAX_PAGE_SIZE)
            request = v1.ListRoomsRequest(prefix=prefix, page_size=size, page_token=token)
            answer = await self.list_rooms(request)
            yield [RoomEntry(r.name, r.users, *_position(r.newest)) for r in answer.rooms]
            token = answer.next_page_token
            if not token:
                return
            remaining -= len(answer.rooms)

    async def history_after(
        self, room: str, after: Position, limit: int | None
    ) -> AsyncIterator[list[MessageEntry]]:
        """Yield pages of at most `limit` messages after a position, oldest first.

        For a position with an empty epoch, start at the oldest stored message after its offset.
        """
        remaining, last = limit or sys.maxsize, None
        while remaining > 0:
            place = v1.Position(epoch=after.epoch, offset=after.offset)
            size = min(remaining, MAX_PAGE_SIZE)
            answer = await self.history(v1.HistoryRequest(room=room, after=place, limit=size))
            newest = _position(answer.newest)
            last = newest.offset if last is None else last
            found = [_message_entry(newest.epoch, m) for m in answer.messages if m.offset <= last]
            yield found
            if not found or found[-1].offset == last:
                return
            after = Position(newest.epoch, found[-1].offset)
            remaining -= len(found)

    async def history_before(
        self, room: str, before: int, limit: int | None
    ) -> AsyncIterator[list[MessageEntry]]:
        """Yield pages of at most `limit` messages before an offset, newest first.

        0 starts at the newest message.
        """
        remaining, epoch = limit or sys.maxsize, None
        while remaining > 0:
            size = min(remaining, MAX_PAGE_SIZE)
            request = v1.HistoryRequest(room=room, limit=size, backwards=True, before=before)
            answer = await self.history(request)
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
            remaining -= len(found)

    async def publish_text(
        self, room: str, user: str, text: str, message_id: str
    ) -> tuple[Position, bool]:
        """Publish a message. Return its position, and whether it had been published before."""
        request = v1.PublishRequest(room=room, user=user, text=text, id=message_id)
        answer = await self.publish(request)
        return _position(answer.position), answer.duplicate


@asynccontextmanager
async def connect_rooms(settings: ClientSettings) -> AsyncIterator[RoomsClient]:
    """Connect to the Rooms service. Raises `CommandError` for a failed call in the block."""
    async with open_channel(settings) as channel:
        try:
            yield RoomsClient(channel, settings)
        except CallError as error:
            text = safe(str(error))
            if error.status is Status.UNIMPLEMENTED:
                text = (
                    f"{channel.target}: the Rooms service is not enabled; start the server with "
                    "--rooms-service (if it uses --rooms-port, pass that port in --target)"
                )
            raise CommandError(text, exit_status(error)) from error


def with_rooms(command: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorate a command with the flags of clients, and pass it the connected `calls`."""

    @wraps(command)
    def run(settings: Settings, **parameters: Any) -> None:
        async def connected() -> None:
            async with connect_rooms(settings.client) as calls:
                await command(calls, **parameters)

        asyncio.run(connected())

    return with_settings("client", *LOG)(run)


def check_missing(servers: int) -> None:
    """Raise `CommandError` for servers that did not answer in time."""
    if servers:
        text = f"{servers} server{'' if servers == 1 else 's'} did not answer in time"
        raise CommandError(text, CALL_FAILED)


def _position(position: v1.Position | None) -> Position:
    if position is None:
        raise PeerProtocolError(Status.INTERNAL, "the response of the server has no position")
    return Position(position.epoch, position.offset)


def _message_entry(epoch: str, message: v1.Message) -> MessageEntry:
    return MessageEntry(
        epoch, message.offset, message.sent_at_ms, message.user, message.text, message.id
    )

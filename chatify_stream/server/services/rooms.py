"""`chatify.rooms.v1.Rooms`: the rooms, for backends and operators.

Protocol: proto/chatify/rooms/v1/rooms.proto.

An error text never repeats an unbounded value of the request, because it is sent in trailers. A
page is never larger than clients accept. `Presence` is not paged.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...errors import (
    BrokerError,
    ClosedError,
    Status,
    StatusError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from ...messages.chatify.rooms import v1
from ...rooms import Outcome, Publication, can_resume
from ...rooms.position import MAX_OFFSET, Position
from ..rooms.api import Rooms

ROOMS_SERVICE = "chatify.rooms.v1.Rooms"

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000

MAX_TEXT_SIZE = 1024 * 1024
"""Bytes of text on one page, unless its first message alone has more.

Clients accept messages of 4 MiB; the names and ids of 1000 messages take at most 1 MiB.
"""


class RoomsService(v1.RoomsBase):
    """Serves the rooms of one server.

    A call with an invalid request ends INVALID_ARGUMENT, with a text that is too large
    RESOURCE_EXHAUSTED, and while the broker is unavailable UNAVAILABLE.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def publish(self, message: v1.PublishRequest) -> v1.PublishResponse:
        with _translating_errors():
            receipt = await self._rooms.publish_once(
                message.room, message.user, message.text, message.id
            )
        if receipt.outcome is Outcome.CONFLICT:
            raise StatusError(
                Status.ALREADY_EXISTS,
                f"the id {message.id!r} was published with another text, at offset "
                f"{receipt.position.offset}; a new message needs a new id",
            )
        return v1.PublishResponse(
            position=_position(receipt.position), duplicate=receipt.outcome is Outcome.DUPLICATE
        )

    async def history(self, message: v1.HistoryRequest) -> v1.HistoryResponse:
        before, after = message.before or None, message.after or v1.Position()
        if before is not None and not message.backwards:
            raise _invalid("before: only allowed with backwards; use after to read forwards")
        if message.after is not None and message.backwards:
            raise _invalid("after: not allowed with backwards; use before")
        if max(after.offset, message.before) > MAX_OFFSET:
            raise _invalid(f"the offset is too large; at most {MAX_OFFSET} is allowed")
        with _translating_errors():
            page = await self._rooms.history(
                message.room,
                after=after.offset,
                before=before,
                limit=_page_size(message.limit),
                newest=message.backwards,
            )
        if after.epoch and not can_resume(
            Position(after.epoch, after.offset), page.newest, page.oldest
        ):
            raise StatusError(
                Status.OUT_OF_RANGE,
                f"after: the room does not have all messages after this position; its newest "
                f"message is at {page.newest}, its oldest has the offset {page.oldest}",
            )
        publications = page.publications[::-1] if message.backwards else page.publications
        return v1.HistoryResponse(
            messages=list(map(_message, _within_bounds(publications))),
            newest=_position(page.newest),
            oldest_offset=page.oldest,
        )

    async def presence(self, message: v1.PresenceRequest) -> v1.PresenceResponse:
        with _translating_errors():
            users = await self._rooms.presence(message.room)
        return v1.PresenceResponse(users=[] if message.count_only else users, count=len(users))

    async def list_rooms(self, message: v1.ListRoomsRequest) -> v1.ListRoomsResponse:
        after = _read_token(message.page_token)
        with _translating_errors():
            page = await self._rooms.list(
                prefix=message.prefix, after=after, limit=_page_size(message.page_size)
            )
        return v1.ListRoomsResponse(
            rooms=[
                v1.RoomInfo(name=room.name, newest=_position(room.newest), users=room.users)
                for room in page.rooms
            ],
            next_page_token=_token(page.rooms[-1].name) if page.has_more else "",
        )

    async def disconnect(self, message: v1.DisconnectRequest) -> v1.DisconnectResponse:
        reason = {"reason": message.reason} if message.reason else {}
        with _translating_errors():
            ended = await self._rooms.disconnect_everywhere(
                message.user, message.room or None, reconnect=message.reconnect, **reason
            )
        return v1.DisconnectResponse(sessions=ended.sessions, silent=ended.missing)

    async def list_nodes(self, message: v1.ListNodesRequest) -> v1.ListNodesResponse:
        with _translating_errors():
            found = await self._rooms.nodes()
        return v1.ListNodesResponse(nodes=found.nodes, silent=found.missing)


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except TooLargeError as error:
        raise StatusError(Status.RESOURCE_EXHAUSTED, str(error)) from error
    except (BrokerError, ClosedError) as error:
        raise UnavailableError(Status.UNAVAILABLE, str(error)) from error
    except UsageError as error:
        raise _invalid(str(error)) from error


def _invalid(why: str) -> StatusError:
    return StatusError(Status.INVALID_ARGUMENT, why)


def _page_size(requested: int) -> int:
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _within_bounds(publications: Sequence[Publication]) -> Iterator[Publication]:
    """Yield the first publications, as many as fit on a page."""
    size = 0
    for index, publication in enumerate(publications):
        size += len(publication.text.encode())
        if index and size > MAX_TEXT_SIZE:
            return
        yield publication


def _position(position: Position) -> v1.Position:
    return v1.Position(epoch=position.epoch, offset=position.offset)


def _message(publication: Publication) -> v1.Message:
    return v1.Message(
        offset=publication.offset,
        user=publication.user,
        text=publication.text,
        id=publication.id,
        sent_at_ms=publication.sent_at_ms,
    )


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars="-_", validate=True).decode()
    except ValueError:
        raise _invalid("page_token: not valid; pass next_page_token of the previous page") from None

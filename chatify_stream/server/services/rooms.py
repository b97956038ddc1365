"""`chatify.rooms.v1.Rooms`: the rooms, for backends and operators.

Protocol: proto/chatify/rooms/v1/rooms.proto.

Rules: what a request is refused for never repeats what has no bound in the request, because it
goes into the trailers. No page is larger than clients take; who is present comes all at once.
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

__all__ = ["ROOMS_SERVICE", "RoomsService"]

ROOMS_SERVICE = "chatify.rooms.v1.Rooms"

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000

MOST_TEXT = 1024 * 1024
"""Bytes of text on one page, unless its first message alone has more.

Clients take messages of 4 MiB; the names and ids of 1000 messages are at most one.
"""


class RoomsService(v1.RoomsBase):
    """Serves the rooms of one server.

    Wrong requests are INVALID_ARGUMENT, and a text that is too large RESOURCE_EXHAUSTED, with what
    is wrong; UNAVAILABLE is what the broker cannot do now.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def publish(self, message: v1.PublishRequest) -> v1.PublishResponse:
        with _answering():
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
            position=_position(receipt.position),
            duplicate=receipt.outcome is Outcome.DUPLICATE,
        )

    async def history(self, message: v1.HistoryRequest) -> v1.HistoryResponse:
        before, after = message.before or None, message.after or v1.Position()
        if before is not None and not message.backwards:
            raise _wrong("before goes with backwards; forwards there is after")
        if message.after is not None and message.backwards:
            raise _wrong("after does not go with backwards; there is before")
        if max(after.offset, message.before) > MAX_OFFSET:
            raise _wrong(f"no offset is larger than {MAX_OFFSET}")
        with _answering():
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
                f"what follows that position is not kept, or never was: the newest message of the "
                f"room is at {page.newest}, and the oldest has the offset {page.oldest}",
            )
        publications = page.publications[::-1] if message.backwards else page.publications
        return v1.HistoryResponse(
            messages=list(map(_message, _within_bounds(publications))),
            newest=_position(page.newest),
            oldest_offset=page.oldest,
        )

    async def presence(self, message: v1.PresenceRequest) -> v1.PresenceResponse:
        with _answering():
            users = await self._rooms.presence(message.room)
        return v1.PresenceResponse(users=[] if message.count_only else users, count=len(users))

    async def list_rooms(self, message: v1.ListRoomsRequest) -> v1.ListRoomsResponse:
        after = _read_token(message.page_token)
        with _answering():
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
        with _answering():
            ended = await self._rooms.disconnect_everywhere(
                message.user, message.room or None, reconnect=message.reconnect, **reason
            )
        return v1.DisconnectResponse(sessions=ended.sessions, silent=ended.missing)

    async def list_nodes(self, message: v1.ListNodesRequest) -> v1.ListNodesResponse:
        with _answering():
            found = await self._rooms.nodes()
        return v1.ListNodesResponse(nodes=found.nodes, silent=found.missing)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except TooLargeError as error:
        raise StatusError(Status.RESOURCE_EXHAUSTED, str(error)) from error
    except (BrokerError, ClosedError) as error:
        raise UnavailableError(Status.UNAVAILABLE, str(error)) from error
    except UsageError as error:
        raise _wrong(str(error)) from error


def _wrong(why: str) -> StatusError:
    return StatusError(Status.INVALID_ARGUMENT, why)


def _page_size(asked: int) -> int:
    return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def _within_bounds(publications: Sequence[Publication]) -> Iterator[Publication]:
    """The first of them, so many as an answer may hold."""
    size = 0
    for index, publication in enumerate(publications):
        size += len(publication.text.encode())
        if index and size > MOST_TEXT:
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
        raise _wrong("that is no page token; take next_page_token of the page before") from None

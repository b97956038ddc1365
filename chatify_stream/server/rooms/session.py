"""One session of a room: a Chat stream that is a membership.

Its life: it joins (`joining`, the hook, the broker), is told where it is by the response headers,
gets what it missed or asked for, and is live: what it sends is published, what anybody publishes
comes from the hub. It ends for a reason of `EndingReason`, which its trailers tell.

Rules: whoever reads too slowly is not read from. What cannot be sent at once waits in the member's
outbox, and one task sends it. What has been sent in part is sent to its end, so that the call can
end with a status, and with the position that its client has come to.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from ...codec import decode_request, frame_presence, frame_publication, frame_refusal
from ...errors import (
    BrokerError,
    CancelledCallError,
    RefusedError,
    Status,
    StatusError,
    call_error,
)
from ...rooms import (
    Chunk,
    Draft,
    Ending,
    EndingReason,
    LogPage,
    Member,
    Outcome,
    Receipt,
    Room,
    can_resume,
    check_id,
    chunks,
)
from ...rooms.metadata import JoinRequest, JoinResponse, encode_trailers
from ...wire import ServerStream, StreamTerminatedError
from ..session import peer_of
from .grpc_transport import FRAMED_REPLIES
from .hooks import RoomJoin, RoomLeave, RoomMessage
from .join import permission_of
from .node import Node
from .session_end import EndedError, ending_of

__all__ = ["RoomSession"]

log = logging.getLogger(__name__)

_Request = tuple[str, str]
"""Text and id."""

LARGEST_CHARACTER = 4
"""Bytes in UTF-8."""

PAGE_SIZE = 64
"""Messages that are read from the log at a time."""


class RoomSession:
    """Serves one stream. It is the `Sink` of its member."""

    __slots__ = (
        "__weakref__",
        "_ending",
        "_half_sent",
        "_loop",
        "_may_read",
        "_may_send",
        "_member",
        "_node",
        "_sending",
        "_stream",
        "room",
        "session_id",
        "user",
    )

    def __init__(self, node: Node, stream: ServerStream) -> None:
        self._node = node
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._half_sent: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self.session_id = secrets.token_urlsafe(9)
        self.room = ""
        self.user = f"guest-{self.session_id[:6]}"
        self._member: Member | None = None
        self._may_send = self._may_read = False

    # What the hub and the node ask for.

    encoding = FRAMED_REPLIES

    def send_nowait(self, frames: bytes, count: int) -> bool:
        return self._stream.try_send_framed(frames, count)

    def wake(self, member: Member) -> None:
        # One that has just sent the last chunk looks again before it ends.
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send_outbox(member))

    def end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            # Not from within a task: the one that runs now may be this session's own.
            error = call_error(ending.status, ending.text)
            self._loop.call_soon(self._stream.abort, error)

    @property
    def backlog(self) -> int:
        return 0 if self._member is None else self._member.backlog

    # The session.

    async def serve(self) -> None:
        """Runs the session. Raises the `CallError` that it ends with, or what ended the call."""
        node = self._node
        node.sessions.add(self)
        node.sessions_opened += 1
        ending = EndingReason.DONE()
        try:
            room, member = await self._join()
            try:
                await self._publish_all(member, room)
            finally:
                await self._part(room)
        except BaseException as error:
            ending = self._ending or ending_of(self._stream.aborted or error)
            self._log(ending, error)
            if isinstance(error, asyncio.CancelledError | GeneratorExit):
                raise
            if ending.reason == "over_limit" and isinstance(error, StatusError):
                self._stream.trailers.update(error.metadata)
            raise call_error(ending.status, ending.text) from error
        finally:
            self._stream.log_fields = {
                **self._stream.log_fields,
                "room": self.room,
                "user": self.user,
                "session": self.session_id,
                "ending": ending.reason,
            }
            self._stream.trailers.update(self._last_words(ending))
            self._member = None  # which has the session: together they would wait for the collector
            node.sessions.discard(self)
            node.sessions_ended[ending.reason] += 1

    async def _join(self) -> tuple[Room, Member]:
        """Becomes a member of its room, which is live; `_part` has to follow."""
        if self._node.is_draining:
            raise EndedError(EndingReason.DRAINING())
        metadata = cast("Mapping[str, str | bytes]", self._stream.metadata)
        try:
            join = JoinRequest.decode(metadata)
        except ValueError as error:
            raise EndedError(EndingReason.BAD_REQUEST(why=error)) from error
        identity = self._stream.identity
        user, self._may_send, self._may_read = permission_of(identity, join)
        self.room, self.user = join.room, user or self.user
        self._stream.limit_messages(self._node.options.max_message_size)
        await self._node.hooks.join(
            RoomJoin(
                self.room,
                self.user,
                self.session_id,
                peer_of(self._stream),
                metadata,
                identity,
            )
        )
        try:
            room = await self._node.subscriptions.hold(join.room)
        except BaseException:
            self._node.spawn(self._leave())
            raise
        try:
            return room, await self._begin(room, join)
        except BaseException:
            await self._part(room)
            raise

    async def _begin(self, room: Room, join: JoinRequest) -> Member:
        """Makes it a member, which is live."""
        member = self._member = Member(
            self, self.user, self.session_id, self._node.options.max_outbox
        )
        if join.wants_presence and self._may_read:
            room.watch(member)
        await self._welcome(member, room, join)
        if self._may_read:
            await self._catch_up(member, room)
        else:
            member.go_live()  # of what it is told, which are its own messages
        if not self._stream.is_half_closed:  # it came to look, and has gone already
            await self._node.broker.enter(self.room, self.user, self.session_id)
        return member

    async def _part(self, room: Room) -> None:
        """Leaves the room, once nothing is under way."""
        try:
            room.flush()
            if self._member is not None:
                room.dismiss(self._member)
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait([self._sending])
            if self._half_sent is not None:
                await asyncio.gather(self._half_sent, return_exceptions=True)
        finally:
            self._node.subscriptions.release(room)
            self._node.spawn(self._leave())

    async def _welcome(self, member: Member, room: Room, join: JoinRequest) -> None:
        """Finds where the member begins, and tells its client."""
        newest = room.newest
        offset, recovered = newest.offset, False
        if join.resume is not None or join.history:
            page = await self._read(room, newest.epoch, limit=1)
            if join.resume is None:
                offset = max(min(page.oldest - 1, offset), offset - join.history)
            else:
                recovered = self._may_read and can_resume(join.resume, newest, page.oldest)
                offset = join.resume.offset if recovered else offset
                self._node.resumes[recovered] += 1
        await self._stream.send_initial_metadata(
            metadata=JoinResponse(self.session_id, newest, recovered, self.user).encode()
        )
        member.epoch, member.offset = newest.epoch, offset
        self._node.observers.session_joined(self, None if join.resume is None else recovered)
        if not self._may_read:
            member.offset = newest.offset
        elif join.wants_users:
            users = await self._node.broker.users(room.name)
            for chunk in chunks((frame_presence(user, True) for user in users), 0):
                await self._send_missed(member, chunk._replace(offset=0))

    async def _catch_up(self, member: Member, room: Room) -> None:
        """Sends what is in the log after the member's position, until it is live."""
        while not room.admit(member):
            page = await self._read(
                room, member.epoch, after=member.offset, before=room.offset + 1, limit=PAGE_SIZE
            )
            if not can_resume(member.position, page.newest, page.oldest) or not page.publications:
                raise EndedError(EndingReason.OVERTAKEN())
            frames = (frame_publication(*publication) for publication in page.publications)
            for chunk in chunks(frames, member.offset):
                await self._send_missed(member, chunk)

    async def _read(
        self, room: Room, epoch: str, *, after: int = 0, before: int | None = None, limit: int
    ) -> LogPage:
        """A part of the log, as long as that is of this epoch."""
        page = await self._node.broker.read(room.name, after=after, before=before, limit=limit)
        if page.newest.epoch != epoch:
            raise EndedError(EndingReason.LOG_RESET())
        return page

    async def _publish_all(self, member: Member, room: Room) -> None:
        """Publishes what the client sends, until it half-closes and has got all of it back."""
        quarter = self._node.options.max_outbox // 4
        while requests := await self._stream.receive_batch(_read_request):
            for portion in self._portions(requests, quarter // LARGEST_CHARACTER):
                await self._publish(member, room, portion)
                if len(portion) < len(requests):
                    room.flush()  # so that what it has not read of its own messages is known
                    await asyncio.sleep(0)  # others may have read meanwhile
                if member.backlog > quarter:
                    await self._until_backlog(member, quarter)
        await self._finish(member, room)

    async def _until_backlog(self, member: Member, most: int) -> None:
        """Waits for its client to read."""
        await self._until(member, lambda: member.backlog <= most)

    async def _finish(self, member: Member, room: Room) -> None:
        """Waits until the client has got back all that it has published."""
        if self._may_read:
            await self._until(member, lambda: room.offset >= member.own_offset)
        room.flush()
        room.dismiss(member)  # what others go on to say is not waited for
        await self._until(member, lambda: not member.outbox)

    def _portions(self, requests: Sequence[_Request], size: int) -> Iterator[Sequence[_Request]]:
        """What is published together: about so many characters, so that its sender can keep up.

        Where there is a hook it is each message by itself, which so waits for no later one.
        """
        first = characters = 0
        for index, (text, _) in enumerate(requests):
            if index > first and (characters >= size or self._node.hooks.check_messages):
                yield requests[first:index]
                first, characters = index, 0
            characters += len(text)
        yield requests[first:]

    async def _publish(self, member: Member, room: Room, requests: Sequence[_Request]) -> None:
        now_ms = self._node.now_ms()
        if not self._may_send:
            why = f"{self.user!r} may not send here: that takes the right send in {self.room!r}"
            for _, message_id in requests:
                member.deliver(Chunk(frame_refusal(message_id, why), 1, 0))
            return
        if self._node.hooks.check_messages:
            checked = [await self._checked(member, *each) for each in requests]
            requests = [each for each in checked if each is not None]
        drafts = [Draft(self.user, text, message_id, now_ms) for text, message_id in requests]
        if not drafts:
            return
        conflict: Ending | None = None
        receipts = await self._node.broker.publish(room.name, drafts)
        for draft, receipt in zip(drafts, receipts, strict=True):
            offset = receipt.position.offset
            match receipt.outcome:
                case Outcome.PUBLISHED:
                    self._node.messages_published += 1
                    member.own_offset = offset
                    if not self._may_read:
                        self._acknowledge(member, draft, receipt)
                case Outcome.DUPLICATE:
                    self._send_again(member, room, draft, receipt)
                case Outcome.CONFLICT:
                    conflict = conflict or EndingReason.ID_CONFLICT(id=draft.id, offset=offset)
        if conflict is not None:
            raise EndedError(conflict)

    async def _checked(self, member: Member, text: str, message_id: str) -> _Request | None:
        """As the hook lets it pass; None when it was refused, of which the client is told."""
        message = RoomMessage(self.room, self.user, self.session_id, text, message_id)
        try:
            return await self._node.hooks.message(message), message_id
        except RefusedError as error:
            member.deliver(Chunk(frame_refusal(message_id, error.reason), 1, 0))
            return None

    def _acknowledge(self, member: Member, draft: Draft, receipt: Receipt) -> None:
        """Sends its own message to a member that gets no others."""
        if receipt.position.epoch != member.epoch:
            raise EndedError(EndingReason.LOG_RESET())
        frames = frame_publication(
            receipt.position.offset, draft.user, draft.text, draft.id, draft.sent_at_ms
        )
        member.deliver(Chunk(frames, 1, receipt.position.offset))

    def _send_again(self, member: Member, room: Room, draft: Draft, receipt: Receipt) -> None:
        """Sends a message that was published before, unless it is still on its way."""
        offset = receipt.position.offset
        room.flush()
        if offset <= member.offset or not self._may_read:
            frames = frame_publication(offset, draft.user, draft.text, draft.id, receipt.sent_at_ms)
            member.deliver(Chunk(frames, 1, 0))
        member.own_offset = max(member.own_offset, offset)

    async def _until(self, member: Member, condition: Callable[[], bool]) -> None:
        """Waits for what is sent to the member to make the condition true."""
        while not condition():
            sent = asyncio.Event()
            member.notify = sent.set
            try:
                await sent.wait()
            finally:
                member.notify = None

    async def _send_missed(self, member: Member, chunk: Chunk) -> None:
        """Sends a chunk to a member that is not live."""
        try:
            await self._send(member, chunk)
        except StatusError as error:
            raise EndedError(EndingReason.STALLED(why=error.message)) from error

    async def _send_outbox(self, member: Member) -> None:
        """Sends what waits for a member that is live."""
        try:
            while (chunk := member.next_chunk) is not None:
                await self._send(member, chunk)
        except (CancelledCallError, StreamTerminatedError):
            pass  # the client has left, of which the session learns by itself
        except StatusError as error:
            member.end(EndingReason.STALLED(why=error.message))

    async def _send(self, member: Member, chunk: Chunk) -> None:
        """Sends a chunk once there is room for it. Cancelled in its middle, it goes on."""
        await self._stream.room_for(len(chunk.frames))
        if self.send_nowait(chunk.frames, chunk.number):
            member.sent(chunk)
        else:
            self._half_sent = self._loop.create_task(self._send_whole(member, chunk))
            await asyncio.shield(self._half_sent)

    async def _send_whole(self, member: Member, chunk: Chunk) -> None:
        try:
            await self._stream.send_framed(chunk.frames, chunk.number)
        except StatusError as error:
            member.end(EndingReason.STALLED(why=error.message))
            raise
        member.sent(chunk)

    async def _leave(self) -> None:
        try:
            await self._node.broker.leave(self.room, self.user, self.session_id)
        finally:
            await self._node.hooks.leave(RoomLeave(self.room, self.user, self.session_id))

    def _log(self, ending: Ending, error: BaseException) -> None:
        if isinstance(error, BrokerError):
            # That the broker is away is said once, not for each session.
            level = logging.WARNING if self._node.broker.is_available else logging.DEBUG
            log.log(level, "a session of the room %r ends: %s", self.room, error)
        elif ending.reason == "failed":
            log.error("a session of the room %r has failed", self.room, exc_info=error)

    def _last_words(self, ending: Ending) -> dict[str, str]:
        member = self._member
        # Without an epoch the session has not begun: its client knows a better position.
        resume = member.position if member is not None and member.epoch else None
        return encode_trailers(ending.reconnect, resume)


def _read_request(data: bytes) -> _Request:
    """Raises `ValueError` for what is no message, and `StatusError` for a wrong id."""
    text, message_id = decode_request(data)
    try:
        return text, check_id(message_id)
    except ValueError as error:
        raise StatusError(Status.INVALID_ARGUMENT, str(error)) from None

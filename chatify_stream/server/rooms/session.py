"""One session of a room: a Chat stream that is a membership.

Its life: it joins (`joining`, the hook, the broker), is told where it is by the response headers,
gets what it missed or asked for, and is live: what it sends is published, what anybody publishes
comes from the hub. It ends for a reason of `EndingReason`, which its trailers tell.

Rules: whoever reads too slowly is not read from. What cannot be sent at once waits in the member's
outbox, and one task sends it, in whole messages, so that the call can still end with a status.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ...chat import (
    Chunk,
    Draft,
    Ending,
    EndingReason,
    Member,
    Outcome,
    Receipt,
    Room,
    can_resume,
    check_id,
    chunks,
)
from ...codec import decode_request, frame_presence, frame_publication, frame_refusal
from ...errors import (
    BrokerError,
    CallError,
    CancelledCallError,
    ChatifyError,
    RefusedError,
    Status,
    StatusError,
    UnavailableError,
    call_error,
)
from ...wire import ServerStream, StreamTerminatedError
from ..session import peer_of
from .hooks import RoomJoin, RoomLeave, RoomMessage, UncheckedError
from .joining import JoinRequest, read_join
from .node import Node

__all__ = ["RoomSession"]

PAGE_SIZE = 64
"""Messages that are read from the log at a time."""


class RoomSession:
    """Serves one stream. It is the `Sink` of its member."""

    def __init__(self, node: Node, stream: ServerStream) -> None:
        self._node = node
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self.session_id = secrets.token_urlsafe(9)
        self.room = ""
        self.user = f"guest-{self.session_id[:6]}"
        self._member: Member | None = None

    # What the hub and the node ask for.

    def send_nowait(self, frames: bytes, count: int) -> bool:
        return self._stream.send_framed_nowait(frames, count)

    def wake(self, member: Member) -> None:
        self._sending = self._loop.create_task(self._send_outbox(member))

    def end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            # Not from within a task: the one that runs now may be this session's own.
            error = call_error(ending.status, ending.text)
            self._loop.call_soon(self._stream.abort, error)

    # The session.

    async def serve(self) -> None:
        """Runs the session. Raises the `CallError` that it ends with, or what ended the call."""
        node = self._node
        node.sessions.add(self)
        node.sessions_opened += 1
        ending = EndingReason.DONE()
        try:
            await self._serve()
        except BaseException as error:
            ending = self._ending or _ending_of(error)
            if isinstance(error, (ChatifyError, _EndedError)):
                raise call_error(ending.status, ending.text) from error
            raise
        finally:
            self._stream.trailers.update(self._last_words(ending))
            node.sessions.discard(self)
            node.sessions_ended[ending.reason] += 1

    async def _serve(self) -> None:
        if self._node.is_draining:
            raise _EndedError(EndingReason.DRAINING())
        metadata = cast("Mapping[str, str | bytes]", self._stream.metadata)
        try:
            join = read_join(metadata)
        except ValueError as error:
            raise _EndedError(EndingReason.BAD_REQUEST(why=error)) from error
        self.room, self.user = join.room, join.user or self.user
        self._stream.limit_messages(self._node.options.max_message_size)
        peer = peer_of(self._stream)
        await self._node.hooks.join(RoomJoin(self.room, self.user, self.session_id, peer, metadata))
        try:
            room = await self._node.subscriptions.hold(join.room)
            try:
                await self._be_member(room, join)
            finally:
                self._node.subscriptions.release(room)
        finally:
            self._node.spawn(self._leave())

    async def _be_member(self, room: Room, join: JoinRequest) -> None:
        member = self._member = Member(
            self,
            self.user,
            self.session_id,
            self._node.options.max_outbox,
            wants_presence=join.wants_presence,
        )
        try:
            await self._begin(member, room, join)
            await self._catch_up(member, room)
            await self._node.broker.enter(self.room, self.user, self.session_id)
            await self._publish_all(member, room)
        finally:
            room.flush()
            room.dismiss(member)
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait([self._sending])

    async def _begin(self, member: Member, room: Room, join: JoinRequest) -> None:
        """Finds where the member begins, and tells its client."""
        broker, newest = self._node.broker, room.newest
        member.epoch, member.offset = newest
        recovered = False
        if join.resume is not None:
            page = await broker.read(
                room.name, after=join.resume.offset, before=newest.offset + 1, limit=1
            )
            recovered = can_resume(join.resume, newest, page.oldest)
            self._node.resumes[recovered] += 1
            if recovered:
                member.offset = join.resume.offset
        elif join.history:
            page = await broker.read(room.name, before=newest.offset + 1, limit=1)
            member.offset = max(min(page.oldest - 1, newest.offset), newest.offset - join.history)
        await self._stream.send_initial_metadata(
            metadata={
                "chat-session": self.session_id,
                "chat-epoch": newest.epoch,
                "chat-offset": str(newest.offset),
                "chat-recovered": "true" if recovered else "false",
            }
        )
        if join.wants_users:
            users = await broker.users(room.name)
            frames = [frame_presence(user, True) for user in users]
            for chunk in chunks(frames, 0):
                await self._send(member, chunk._replace(offset=0))

    async def _catch_up(self, member: Member, room: Room) -> None:
        """Sends what is in the log after the member's position, until it is live."""
        while not room.admit(member):
            if self._ending is not None:
                raise _EndedError(self._ending)
            if member.epoch != room.epoch:
                raise _EndedError(EndingReason.LOG_RESET())
            page = await self._node.broker.read(
                room.name, after=member.offset, before=room.offset + 1, limit=PAGE_SIZE
            )
            if not can_resume(member.position, page.newest, page.oldest) or not page.publications:
                raise _EndedError(EndingReason.OVERTAKEN())
            frames = [frame_publication(*publication) for publication in page.publications]
            for chunk in chunks(frames, page.publications[-1].offset):
                await self._send(member, chunk)

    async def _publish_all(self, member: Member, room: Room) -> None:
        """Publishes what the client sends, until it half-closes and has got all of it back."""
        stream, quarter = self._stream, self._node.options.max_outbox // 4
        while requests := await stream.recv_decoded(decode_request):
            await self._publish(member, room, requests)
            if member.backlog > quarter:
                await self._until(member, lambda: member.backlog <= quarter)
        room.flush()
        await self._until(member, lambda: member.has_own)

    async def _publish(
        self, member: Member, room: Room, requests: Sequence[tuple[str, str]]
    ) -> None:
        drafts = await self._drafts(member, requests)
        if not drafts:
            return
        receipts = await self._node.broker.publish(room.name, drafts)
        for draft, receipt in zip(drafts, receipts, strict=True):
            if receipt.outcome is Outcome.PUBLISHED:
                self._node.messages_published += 1
                member.own_offset = receipt.position.offset
            else:
                self._not_published(member, room, draft, receipt)

    async def _drafts(self, member: Member, requests: Sequence[tuple[str, str]]) -> list[Draft]:
        """What is to be published of what the client sent; it is told of the rest."""
        now_ms, hooks = self._node.now_ms(), self._node.hooks
        drafts = []
        for text, message_id in requests:
            try:
                check_id(message_id)
                if hooks.check_messages:
                    text = await hooks.message(
                        RoomMessage(self.room, self.user, self.session_id, text, message_id)
                    )
            except ValueError as error:
                raise _EndedError(EndingReason.BAD_REQUEST(why=error)) from error
            except RefusedError as error:
                member.deliver(Chunk(frame_refusal(message_id, error.reason), 1, 0))
            else:
                drafts.append(Draft(self.user, text, message_id, now_ms))
        return drafts

    def _not_published(self, member: Member, room: Room, draft: Draft, receipt: Receipt) -> None:
        """The id of a draft was published before."""
        offset = receipt.position.offset
        if receipt.outcome is Outcome.CONFLICT:
            raise _EndedError(EndingReason.ID_CONFLICT(id=draft.id, offset=offset))
        room.flush()
        if offset <= member.offset:  # otherwise it is on its way
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

    async def _send(self, member: Member, chunk: Chunk) -> None:
        """Sends a chunk to a member that is not live."""
        try:
            await self._stream.room_for(len(chunk.frames))
            await self._stream.send_framed(chunk.frames, chunk.number)
        except StatusError as error:
            raise _EndedError(EndingReason.STALLED(why=error.message)) from error
        member.sent(chunk)

    async def _send_outbox(self, member: Member) -> None:
        """Sends what waits for a member that is live."""
        stream = self._stream
        try:
            while (chunk := member.next_chunk) is not None:
                await stream.room_for(len(chunk.frames))
                if member.next_chunk is chunk:
                    await stream.send_framed(chunk.frames, chunk.number)
                    member.sent(chunk)
        except CancelledCallError:
            pass  # the client has left, of which the session learns by itself
        except StatusError as error:
            member.end(EndingReason.STALLED(why=error.message))

    async def _leave(self) -> None:
        await self._node.broker.leave(self.room, self.user, self.session_id)
        await self._node.hooks.leave(RoomLeave(self.room, self.user, self.session_id))

    def _last_words(self, ending: Ending) -> dict[str, str]:
        words = {"chat-reconnect": "yes" if ending.reconnect else "no"}
        if self._member is not None:
            words["chat-resume"] = str(self._member.position)
        return words


class _EndedError(Exception):
    """Ends the session, from within."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


def _ending_of(error: BaseException) -> Ending:
    """The row of the table for what a session ended with."""
    match error:
        case _EndedError():
            return error.ending
        case UncheckedError():
            return EndingReason.UNCHECKED(why=error.reason)
        case RefusedError():
            return EndingReason.REFUSED(why=error.reason)
        case BrokerError():
            return EndingReason.BROKER_AWAY(why=error)
        case UnavailableError():
            return EndingReason.DRAINING()
        case CallError(status=Status.RESOURCE_EXHAUSTED):
            return EndingReason.TOO_LARGE(why=error.message)
        case CallError(status=Status.INTERNAL):
            return EndingReason.BAD_MESSAGE(why=error.message)
        case CallError() | StreamTerminatedError() | TimeoutError() | asyncio.CancelledError():
            return EndingReason.LEFT()
        case _:
            return EndingReason.FAILED()

"""One session of a room: the membership of one client, over any transport.

A session passes through these steps: it joins (rights, the join hook, the broker); it tells the
client its position; it sends the messages that the client missed or asked for; it is live. A live
session publishes what the client sends, and the hub delivers what anybody publishes. The session
ends for one of the reasons in `DisconnectReason`, which the transport reports to the client.

Rules: a session does not read from a client that reads too slowly. Chunks that cannot be sent at
once wait in the member's outbox, and one task sends them. A chunk that was sent in part is sent to
its end, so that the session can end with a status and with the position that its client reached.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence

from ...errors import BrokerError, RefusedError, UncheckedError
from ...rooms import (
    Chunk,
    Disconnect,
    DisconnectReason,
    Draft,
    Encoding,
    LogPage,
    Member,
    Outcome,
    Publication,
    Receipt,
    Room,
    SessionEnded,
    can_resume,
    chunks,
)
from ...rooms.metadata import JoinRequest, JoinResponse
from ...rooms.position import Position
from .hooks import RoomJoin, RoomLeave, RoomMessage
from .node import Node
from .transport import Request, SessionSummary, Transport, permission_of

log = logging.getLogger(__name__)

MAX_CHARACTER_SIZE = 4
"""Bytes of one character in UTF-8."""

PAGE_SIZE = 64


class RoomSession:
    """Serves one client in one room. It is the `Sink` of its member."""

    __slots__ = (
        "__weakref__",
        "_disconnect",
        "_half_sent",
        "_loop",
        "_may_read",
        "_may_send",
        "_member",
        "_node",
        "_sending",
        "_transport",
        "room",
        "send_nowait",
        "session_id",
        "user",
    )

    def __init__(self, node: Node, transport: Transport) -> None:
        self._node = node
        self._transport = transport
        self.send_nowait = transport.send_nowait
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._half_sent: asyncio.Task[None] | None = None
        self._disconnect: Disconnect | None = None
        self.session_id = secrets.token_urlsafe(9)
        self.room = ""
        self.user = f"guest-{self.session_id[:6]}"
        self._member: Member | None = None
        self._may_send = self._may_read = False

    # Called by the hub and the node.

    @property
    def encoding(self) -> Encoding:
        return self._transport.encoding

    def wake(self, member: Member) -> None:
        # A task that has just sent the last chunk looks for another before it ends.
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send_outbox(member))

    def end(self, disconnect: Disconnect) -> None:
        if self._disconnect is None:
            self._disconnect = disconnect
            # Later, because the task that runs now may be this session's own.
            self._loop.call_soon(self._transport.abort, disconnect)

    @property
    def backlog(self) -> int:
        return 0 if self._member is None else self._member.backlog

    # The session.

    async def serve(self) -> None:
        """Run the session until it ends.

        Returns when the client has half-closed and has received everything that it published.
        Raises what `Transport.error_for` returns when the session ends for another reason. When
        cancelled, it leaves the room first.
        """
        node = self._node
        node.sessions.add(self)
        node.sessions_opened += 1
        disconnect = DisconnectReason.DONE()
        try:
            room, member = await self._join()
            try:
                while requests := await self._transport.receive():
                    await self._publish_all(member, room, requests)
                await self._finish(member, room)
            finally:
                await self._leave_room(room)
        except BaseException as error:
            disconnect = (
                self._disconnect or self._transport.disconnect_for(error) or _disconnect_of(error)
            )
            self._log(disconnect, error)
            if isinstance(error, asyncio.CancelledError | GeneratorExit):
                raise
            raise self._transport.error_for(disconnect, error) from error
        finally:
            self._transport.ended(
                SessionSummary(self.room, self.user, self.session_id, disconnect, self._position)
            )
            self._member = None  # breaks a reference cycle, so that both are freed at once
            node.sessions.discard(self)
            node.sessions_ended[disconnect.reason] += 1

    async def _join(self) -> tuple[Room, Member]:
        """Join the room and become live. The caller must call `_leave_room`."""
        if self._node.is_draining:
            raise SessionEnded(DisconnectReason.DRAINING())
        try:
            join = self._transport.read_join()
        except ValueError as error:
            raise SessionEnded(DisconnectReason.BAD_REQUEST(why=error)) from error
        peer, identity, metadata = self._transport.caller
        user, self._may_send, self._may_read = permission_of(identity, join)
        self.room, self.user = join.room, user or self.user
        await self._node.hooks.join(
            RoomJoin(self.room, self.user, self.session_id, peer, metadata, identity)
        )
        try:
            room = await self._node.subscriptions.hold(join.room)
        except BaseException:
            self._node.background.spawn(self._after_leaving())
            raise
        try:
            return room, await self._become_live(room, join)
        except BaseException:
            await self._leave_room(room)
            raise

    async def _become_live(self, room: Room, join: JoinRequest) -> Member:
        member = self._member = Member(
            self, self.user, self.session_id, self._node.options.max_outbox
        )
        if join.wants_presence and self._may_read:
            room.watch(member)
        await self._send_joined(member, room, join)
        if self._may_read:
            await self._catch_up(member, room)
        else:
            member.go_live()  # it receives only its own messages
        if not self._transport.is_half_closed:  # else it only reads the history, unseen
            await self._node.broker.enter(self.room, self.user, self.session_id)
        return member

    async def _leave_room(self, room: Room) -> None:
        """Leave the room, and wait for a chunk that was sent in part."""
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
            self._node.background.spawn(self._after_leaving())

    async def _send_joined(self, member: Member, room: Room, join: JoinRequest) -> None:
        """Find the position where the member begins, and tell the client."""
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
        await self._transport.send_joined(
            JoinResponse(self.session_id, newest, recovered, self.user)
        )
        member.epoch, member.offset = newest.epoch, offset
        self._node.session_joined(self, None if join.resume is None else recovered)
        if not self._may_read:
            member.offset = newest.offset
        elif join.wants_users:
            users = await self._node.broker.users(room.name)
            for chunk in chunks((self.encoding.presence(user, True) for user in users), 0):
                await self._send(member, chunk._replace(offset=0))

    async def _catch_up(self, member: Member, room: Room) -> None:
        """Send the messages of the log after the member's position, until it is live."""
        while not room.admit(member):
            page = await self._read(
                room, member.epoch, after=member.offset, before=room.offset + 1, limit=PAGE_SIZE
            )
            if not can_resume(member.position, page.newest, page.oldest) or not page.publications:
                raise SessionEnded(DisconnectReason.HISTORY_TRIMMED())
            for chunk in chunks(map(self.encoding.publication, page.publications), member.offset):
                await self._send(member, chunk)

    async def _read(
        self, room: Room, epoch: str, *, after: int = 0, before: int | None = None, limit: int
    ) -> LogPage:
        """Read a part of the log. Raises `SessionEnded` if the log has another epoch."""
        page = await self._node.broker.read(room.name, after=after, before=before, limit=limit)
        if page.newest.epoch != epoch:
            raise SessionEnded(DisconnectReason.LOG_RESET())
        return page

    async def _publish_all(self, member: Member, room: Room, requests: Sequence[Request]) -> None:
        """Publish requests in portions, each once the client has read most of the one before."""
        quarter = self._node.options.max_outbox // 4
        for portion in self._portions(requests, quarter // MAX_CHARACTER_SIZE):
            await self._publish(member, room, portion)
            if len(portion) < len(requests):
                room.flush()  # counts its own messages in its backlog
                await asyncio.sleep(0)  # lets other clients read
            if member.backlog > quarter:
                await self._until(member, lambda: member.backlog <= quarter)

    async def _finish(self, member: Member, room: Room) -> None:
        """Wait until the client has received everything that it published."""
        if self._may_read:
            await self._until(member, lambda: room.offset >= member.own_offset)
        room.flush()
        room.dismiss(member)  # later messages of others are not waited for
        await self._until(member, lambda: not member.outbox)

    def _portions(self, requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
        """Divide requests into portions that are published together.

        A portion has about `size` characters, so that its sender can keep up with the replies.
        With a message hook, a portion is one message, which therefore waits for no later one.
        """
        first = characters = 0
        for index, (text, _) in enumerate(requests):
            if index > first and (characters >= size or self._node.hooks.checks_messages):
                yield requests[first:index]
                first, characters = index, 0
            characters += len(text)
        yield requests[first:]

    async def _publish(self, member: Member, room: Room, requests: Sequence[Request]) -> None:
        now_ms = self._node.now_ms()
        if not self._may_send:
            reason = f"{self.user!r} needs the right send in the room {self.room!r}"
            for _, message_id in requests:
                self._refuse(member, message_id, reason)
            return
        if self._node.hooks.checks_messages:
            checked = [await self._checked(member, *each) for each in requests]
            requests = [each for each in checked if each is not None]
        if not requests:
            return
        drafts = [Draft(self.user, text, message_id, now_ms) for text, message_id in requests]
        conflict: Disconnect | None = None
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
                    conflict = conflict or DisconnectReason.ID_CONFLICT(id=draft.id, offset=offset)
        if conflict is not None:
            raise SessionEnded(conflict)

    async def _checked(self, member: Member, text: str, message_id: str) -> Request | None:
        """Return the message as the hook changed it, or None if the hook refused it."""
        message = RoomMessage(self.room, self.user, self.session_id, text, message_id)
        try:
            return await self._node.hooks.message(message), message_id
        except RefusedError as error:
            self._refuse(member, message_id, error.reason)
            return None

    def _refuse(self, member: Member, message_id: str, reason: str) -> None:
        member.deliver(Chunk(self.encoding.refusal(message_id, reason), 1, 0))

    def _acknowledge(self, member: Member, draft: Draft, receipt: Receipt) -> None:
        """Send its own message to a member that may not read others."""
        if receipt.position.epoch != member.epoch:
            raise SessionEnded(DisconnectReason.LOG_RESET())
        offset = receipt.position.offset
        member.deliver(Chunk(self._encode(draft, offset, draft.sent_at_ms), 1, offset))

    def _send_again(self, member: Member, room: Room, draft: Draft, receipt: Receipt) -> None:
        """Send a message that was published before, unless its first copy is still to come."""
        offset = receipt.position.offset
        room.flush()
        if offset <= member.offset or not self._may_read:
            member.deliver(Chunk(self._encode(draft, offset, receipt.sent_at_ms), 1, 0))
        member.own_offset = max(member.own_offset, offset)

    def _encode(self, draft: Draft, offset: int, sent_at_ms: int) -> bytes:
        publication = Publication(offset, draft.user, draft.text, draft.id, sent_at_ms)
        return self.encoding.publication(publication)

    async def _until(self, member: Member, condition: Callable[[], bool]) -> None:
        """Wait until sending to the member has made the condition true."""
        while not condition():
            sent = asyncio.Event()
            member.notify = sent.set
            try:
                await sent.wait()
            finally:
                member.notify = None

    async def _send_outbox(self, member: Member) -> None:
        try:
            while (chunk := member.next_chunk) is not None:
                await self._send(member, chunk)
        except SessionEnded as error:
            self._end_stalled(member, error.disconnect)

    async def _send(self, member: Member, chunk: Chunk) -> None:
        """Send a chunk once there is space for it. Cancelling it in the middle sends the rest."""
        await self._transport.wait_writable(len(chunk.frames))
        if self.send_nowait(chunk.frames, chunk.number):
            member.sent(chunk)
        else:
            self._half_sent = self._loop.create_task(self._send_whole(member, chunk))
            await asyncio.shield(self._half_sent)

    async def _send_whole(self, member: Member, chunk: Chunk) -> None:
        try:
            await self._transport.send(chunk.frames, chunk.number)
        except SessionEnded as error:
            self._end_stalled(member, error.disconnect)
            raise
        member.sent(chunk)

    def _end_stalled(self, member: Member, disconnect: Disconnect) -> None:
        if disconnect.reason != "left":  # then the transport ends the session
            member.end(disconnect)

    async def _after_leaving(self) -> None:
        try:
            await self._node.broker.leave(self.room, self.user, self.session_id)
        finally:
            await self._node.hooks.leave(RoomLeave(self.room, self.user, self.session_id))

    @property
    def _position(self) -> Position | None:
        """Where the client can resume; None if it knows better than this session."""
        member = self._member
        return member.position if member is not None and member.epoch else None

    def _log(self, disconnect: Disconnect, error: BaseException) -> None:
        if isinstance(error, BrokerError):
            # The node logs once that the broker is unavailable, not for each session.
            level = logging.WARNING if self._node.broker.is_available else logging.DEBUG
            log.log(level, "a session in room %r ended: %s", self.room, error)
        elif disconnect.reason == "failed":
            log.error("a session in room %r failed", self.room, exc_info=error)


def _disconnect_of(error: BaseException) -> Disconnect:
    match error:
        case SessionEnded():
            return error.disconnect
        case UncheckedError():
            return DisconnectReason.UNCHECKED(why=error.reason)
        case RefusedError():
            return DisconnectReason.REFUSED(why=error.reason)
        case BrokerError():
            return DisconnectReason.BROKER_AWAY()
        case asyncio.CancelledError():
            return DisconnectReason.LEFT()
        case _:
            return DisconnectReason.FAILED()

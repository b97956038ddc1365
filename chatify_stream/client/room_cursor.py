"""The position of a client in its room, and which received messages are new. No I/O.

Each message becomes one event, in offset order; repeated messages are dropped. When messages may
have been missed, because the log is a new one or an offset was skipped, a `Gap` comes before the
next message. After a session that cannot resume, the client asks for everything that the room still
has, to keep the gap small.

A client that asks for history does not know where the history begins. Until its first message it
has seen nothing: it cannot resume, and its next session asks for history again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..errors import PeerProtocolError, Status
from ..messages.service.v1 import ChatRsp, ChatRspKind
from ..rooms.metadata import JoinResponse
from ..rooms.position import Position
from .events import Connected, Event, Gap, Joined, Left, Message

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RoomCursor:
    """Turns the replies of all sessions of one client into events."""

    def __init__(self, resume: Position | None = None, history: int = 0) -> None:
        """`resume`: position to continue after. `history`: number of messages to start with."""
        self.resume = resume
        """The position at which the next session resumes, or None to start anew."""
        self._joined: Position | None = None
        """The newest message when the client joined. Only set while `resume` is None."""
        self._history = history

    @property
    def history(self) -> int:
        """The number of messages that a session which starts anew asks for."""
        return 0 if self.resume is not None else self._history

    def has_missed(self, response: JoinResponse) -> bool:
        """Return whether a session failed to resume while the room may have missed messages."""
        if self.resume is None or response.recovered:
            return False
        newest = response.newest
        return newest.offset > (self.resume.offset if newest.epoch == self.resume.epoch else 0)

    def begin(self, response: JoinResponse) -> Sequence[Event]:
        newest = response.newest
        last = self.resume or self._joined
        is_same_log = (
            last is not None and last.epoch == newest.epoch and last.offset <= newest.offset
        )
        recovered = None if self.resume is None else response.recovered and is_same_log
        connected = Connected(response.session_id, newest, recovered)
        if last is not None and not is_same_log:
            self.resume = Position(newest.epoch, 0 if last.epoch != newest.epoch else newest.offset)
            return connected, Gap(Position(last.epoch, last.offset + 1), self.resume)
        if last is None:
            if self._history and newest.offset:
                self._joined = newest
            else:
                self.resume = newest
        return (connected,)

    def read(self, reply: ChatRsp, user: str | None) -> Sequence[Event]:
        """Return the events of a reply. `user` is the name of this client.

        Raises `PeerProtocolError` for an invalid reply.
        """
        match reply.kind:
            case ChatRspKind.MESSAGE:
                return self._message(reply, user)
            case ChatRspKind.JOINED:
                return (Joined(reply.sender),)
            case ChatRspKind.LEFT:
                return (Left(reply.sender),)
            case _:
                return ()

    def _message(self, reply: ChatRsp, user: str | None) -> Sequence[Event]:
        after = self.resume or self._joined
        if after is None:
            raise RuntimeError("no session has begun")
        position = Position(after.epoch, reply.offset)
        if self.resume is not None and position.offset <= after.offset:
            return ()
        message = read_message(reply, after.epoch, user)
        self.resume = position
        if position.offset <= after.offset + 1:
            return (message,)
        expected = Position(after.epoch, after.offset + 1)
        return Gap(expected, Position(after.epoch, position.offset - 1)), message


def read_message(reply: ChatRsp, epoch: str, user: str | None) -> Message:
    """Return the `Message` in a reply to `user`. Raises `PeerProtocolError` for an invalid time."""
    try:
        sent_at = _UNIX_EPOCH + timedelta(milliseconds=reply.sent_at_ms)
    except OverflowError as error:
        raise PeerProtocolError(
            Status.INTERNAL, f"the server sent an invalid time with message {reply.offset}: {error}"
        ) from error
    return Message(
        position=Position(epoch, reply.offset),
        sender=reply.sender,
        text=reply.message,
        id=reply.id,
        sent_at=sent_at,
        is_own=reply.sender == user,
    )

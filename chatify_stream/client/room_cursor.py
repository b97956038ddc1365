"""What a client has seen of its room, and so what of that which comes is new. No I/O.

Rules: each message is told once, in the order of the offsets; what comes again is dropped. Where a
message may have been missed, a `Gap` says so, ahead of what follows: when the log is another one,
and when an offset was left out. A session that cannot resume is followed by one that asks for all
that the room still has, so that no more is missed than has to be.

A client that wants history does not know where that begins. Until its first message has come, it
has seen nothing: it cannot resume, and asks for history again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..errors import PeerProtocolError, Status
from ..messages.service.v1 import ChatRsp, ChatRspKind
from ..rooms.metadata import JoinResponse
from ..rooms.position import Position
from .events import Connected, Event, Gap, Joined, Left, Message

__all__ = ["Reading", "read_message"]

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reading:
    """What one client has seen of its room."""

    def __init__(self, resume: Position | None = None, history: int = 0) -> None:
        """`resume`: of the last message that was seen before. `history`: how many to see first."""
        self._seen = resume
        self._joined: Position | None = None
        """The newest message when the client joined, while it has seen nothing."""
        self._history = history

    @property
    def resume(self) -> Position | None:
        """Where the next session resumes; None for one that is to begin anew."""
        return self._seen

    @property
    def history(self) -> int:
        """How many messages a session that begins anew asks for."""
        return 0 if self._seen is not None else self._history

    def has_missed(self, response: JoinResponse) -> bool:
        """A session that was to resume does not, and the room may have messages to ask for."""
        if self._seen is None or response.recovered:
            return False
        newest = response.newest
        return newest.offset > (self._seen.offset if newest.epoch == self._seen.epoch else 0)

    def begin(self, response: JoinResponse) -> Sequence[Event]:
        """A session has begun."""
        newest = response.newest
        last = self._seen or self._joined
        is_same_log = (
            last is not None and last.epoch == newest.epoch and last.offset <= newest.offset
        )
        recovered = None if self._seen is None else response.recovered and is_same_log
        connected = Connected(response.session_id, newest, recovered)
        if last is not None and not is_same_log:
            self._seen = Position(newest.epoch, 0 if last.epoch != newest.epoch else newest.offset)
            return connected, Gap(Position(last.epoch, last.offset + 1), self._seen)
        if last is None:
            if self._history and newest.offset:
                self._joined = newest
            else:
                self._seen = newest
        return (connected,)

    def read(self, reply: ChatRsp, user: str | None) -> Sequence[Event]:
        """The events of what a session has brought to `user`. Raises `PeerProtocolError`."""
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
        after = self._seen or self._joined
        if after is None:
            raise RuntimeError("no session has begun")
        position = Position(after.epoch, reply.offset)
        if self._seen is not None and position.offset <= after.offset:
            return ()
        message = read_message(reply, after.epoch, user)
        self._seen = position
        if position.offset <= after.offset + 1:
            return (message,)
        expected = Position(after.epoch, after.offset + 1)
        return Gap(expected, Position(after.epoch, position.offset - 1)), message


def read_message(reply: ChatRsp, epoch: str, user: str | None) -> Message:
    """A message of the room, as it was sent to `user`. Raises `PeerProtocolError`."""
    try:
        sent_at = _UNIX_EPOCH + timedelta(milliseconds=reply.sent_at_ms)
    except OverflowError as error:
        raise PeerProtocolError(
            Status.INTERNAL, f"the message {reply.offset} was sent at no time: {error}"
        ) from error
    return Message(
        position=Position(epoch, reply.offset),
        sender=reply.sender,
        text=reply.message,
        id=reply.id,
        sent_at=sent_at,
        is_own=reply.sender == user,
    )

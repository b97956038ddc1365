"""Sends the messages of a client, session after session, until each is answered.

Rules: `send` waits while too many are not acknowledged; those that wait are let in one after the
other. One task at a time writes, in the order of `Outgoing`. Whoever stops to wait for an answer
takes its message back: it is not written any more, if it was not yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import CallError, ClosedError, RefusedError, UsageError
from ..messages.service.v1 import ChatRsp, ChatRspKind
from ..rooms.position import Position
from .room_connection import LeftBehindError, RoomConnection
from .unacked import Outgoing

__all__ = ["Sender"]


class Sender:
    """The sending half of a client in a room."""

    def __init__(self, on_send: Callable[[], None], outgoing: Outgoing | None = None) -> None:
        """`on_send` is called when there is one more message to be acknowledged."""
        self._on_send = on_send
        self._outgoing = Outgoing() if outgoing is None else outgoing
        self._answers: dict[str, asyncio.Future[Position | Exception]] = {}
        self._sends = 0
        self._entering = asyncio.Lock()
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_closed = False
        self._error: Exception | None = None

    @property
    def is_waiting(self) -> bool:
        """Somebody waits for an acknowledgement, or to send."""
        return self._sends > 0

    async def send(self, message_id: str, text: str) -> Position:
        """Sends a message; its position once it is acknowledged.

        Raises `RefusedError`; what `end` was given; and `ClosedError` after `close`.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._is_closed:
            raise ClosedError("the sending side was closed by half_close()")
        self._sends += 1
        try:
            async with self._entering:
                await self._until_room_for(text)
                answer = self._enter(message_id, text)
            return await self._answer(message_id, answer)
        finally:
            self._sends -= 1
            if not self._sends:
                self._settled.set()
                self._work.set()

    async def _until_room_for(self, text: str) -> None:
        while self._error is None and not self._outgoing.has_room_for(text):
            self._room.clear()
            await self._room.wait()

    def _enter(self, message_id: str, text: str) -> asyncio.Future[Position | Exception]:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if message_id in self._answers:
            raise UsageError(
                f"a message with the id {message_id!r} waits for its acknowledgement already"
            )
        self._outgoing.add(message_id, text)
        answer = self._answers[message_id] = asyncio.get_running_loop().create_future()
        self._work.set()
        self._on_send()
        return answer

    async def _answer(
        self, message_id: str, answer: asyncio.Future[Position | Exception]
    ) -> Position:
        try:
            result = await answer
        finally:
            del self._answers[message_id]
            self._outgoing.remove(message_id)
            self._room.set()
        if isinstance(result, Exception):
            raise result.with_traceback(None)  # others raise it, too
        return result

    def close(self) -> None:
        """No more messages come; once all are answered, the session is half-closed."""
        self._is_closed = True
        self._work.set()

    async def settled(self) -> None:
        """Waits until every `send` has returned."""
        while self._sends:
            self._settled.clear()
            await self._settled.wait()

    def end(self, error: Exception) -> None:
        """Nothing can be sent any more, because of `error`."""
        self._error = error
        self._room.set()
        for message_id in list(self._answers):
            self._tell(message_id, error)

    def begin_session(self) -> None:
        """What a new session has to acknowledge is to be written again."""
        self._outgoing.begin_session()

    async def write_to(self, connection: RoomConnection) -> None:
        """Writes what is to be sent, until the session ends; who reads from it learns why."""
        try:
            await connection.caught_up.wait()
            while True:
                message = self._outgoing.take_next()
                if message is not None:
                    await connection.send(*message)
                elif self._is_closed and not self.is_waiting:
                    await connection.half_close()
                    return
                else:
                    self._work.clear()
                    await self._work.wait()
        except (CallError, ClosedError, LeftBehindError):
            pass

    def read(self, reply: ChatRsp, epoch: str, user: str | None) -> None:
        """Tells whoever waits for this reply: the own copy of a message, or a refusal."""
        if reply.kind is ChatRspKind.REFUSED:
            self._tell(reply.id, RefusedError(reply.message))
        elif reply.kind is ChatRspKind.MESSAGE and (user is None or reply.sender == user):
            self._tell(reply.id, Position(epoch, reply.offset))

    def _tell(self, message_id: str, result: Position | Exception) -> None:
        answer = self._answers.get(message_id)
        if answer is not None and not answer.done():
            answer.set_result(result)
            self._outgoing.remove(message_id)

"""Sends the messages of a client over successive sessions until each is acknowledged or rejected.

`send` waits while too many messages are unacknowledged; waiting calls are admitted in order. One
task at a time writes, in the order of `UnackedMessages`. Cancelling `send` withdraws its message,
which is then not written if it was not written before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import CallError, ClosedError, RefusedError, UsageError
from ..messages.service.v1 import ChatRsp, ChatRspKind
from ..rooms.position import Position
from .room_connection import ResyncNeeded, RoomConnection

MAX_MESSAGES = 1000
MAX_CHARACTERS = 1_000_000


@dataclass(eq=False, repr=False)
class UnackedMessages:
    """The messages that the server has not acknowledged yet, by id.

    They are written in the order in which they were added. A new session first writes the messages
    that the previous session wrote without an acknowledgement, then those that were never written.
    They are bounded in number and size. An empty queue accepts a message of any size.
    """

    max_messages: int = MAX_MESSAGES
    max_characters: int = MAX_CHARACTERS
    _written: OrderedDict[str, str] = field(default_factory=OrderedDict)  # by the current session
    _waiting: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _characters: int = 0

    def __len__(self) -> int:
        return len(self._written) + len(self._waiting)

    def has_room_for(self, text: str) -> bool:
        return not self or (
            len(self) < self.max_messages and self._characters + len(text) <= self.max_characters
        )

    def add(self, message_id: str, text: str) -> None:
        """Add a message. Its id must be new."""
        self._waiting[message_id] = text
        self._characters += len(text)

    def begin_session(self) -> None:
        self._written.update(self._waiting)
        self._waiting, self._written = self._written, OrderedDict()

    def take_next(self) -> tuple[str, str] | None:
        """Return the id and text of the next message to write, or None. Marks it as written."""
        if not self._waiting:
            return None
        message_id, text = self._waiting.popitem(last=False)
        self._written[message_id] = text
        return message_id, text

    def remove(self, message_id: str) -> None:
        text = self._written.pop(message_id, None)
        if text is None:
            text = self._waiting.pop(message_id, None)
        if text is not None:
            self._characters -= len(text)


@dataclass(eq=False, repr=False)
class Sender:
    _on_send: Callable[[], None]
    """Called when a message begins to wait for its acknowledgement."""
    _unacked: UnackedMessages = field(default_factory=UnackedMessages)
    _results: dict[str, asyncio.Future[Position | Exception]] = field(default_factory=dict)
    _sends: int = 0
    _admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    _has_room: asyncio.Event = field(default_factory=asyncio.Event)
    _has_work: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closed: bool = False
    _error: Exception | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether any `send` has not returned yet."""
        return self._sends > 0

    async def send(self, message_id: str, text: str) -> Position:
        """Send a message and return its position when the server has acknowledged it.

        Raises `RefusedError` if the server rejects the message, the error passed to `end`, and
        `ClosedError` after `close`.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._is_closed:
            raise ClosedError("the sending side was closed by half_close()")
        self._sends += 1
        try:
            async with self._admission:
                await self._wait_for_room(text)
                result = self._add(message_id, text)
            return await self._wait_for_result(message_id, result)
        finally:
            self._sends -= 1
            if not self._sends:
                self._settled.set()
                self._has_work.set()

    async def _wait_for_room(self, text: str) -> None:
        while self._error is None and not self._unacked.has_room_for(text):
            self._has_room.clear()
            await self._has_room.wait()

    def _add(self, message_id: str, text: str) -> asyncio.Future[Position | Exception]:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if message_id in self._results:
            raise UsageError(
                f"a message with the id {message_id!r} is already waiting for its acknowledgement"
            )
        self._unacked.add(message_id, text)
        result = self._results[message_id] = asyncio.get_running_loop().create_future()
        self._has_work.set()
        self._on_send()
        return result

    async def _wait_for_result(
        self, message_id: str, future: asyncio.Future[Position | Exception]
    ) -> Position:
        try:
            result = await future
        finally:
            del self._results[message_id]
            self._unacked.remove(message_id)
            self._has_room.set()
        if isinstance(result, Exception):
            raise result.with_traceback(None)  # several calls raise the same error
        return result

    def close(self) -> None:
        """Accept no more messages. The session is half-closed when all are acknowledged."""
        self._is_closed = True
        self._has_work.set()

    async def settled(self) -> None:
        """Wait until every `send` has returned."""
        while self._sends:
            self._settled.clear()
            await self._settled.wait()

    def end(self, error: Exception) -> None:
        """Raise `error` in all current and later calls to `send`."""
        self._error = error
        self._has_room.set()
        for message_id in list(self._results):
            self._resolve(message_id, error)

    def begin_session(self) -> None:
        """Prepare to write all unacknowledged messages again."""
        self._unacked.begin_session()

    async def write_to(self, connection: RoomConnection) -> None:
        """Write messages until the session ends. The task that reads the session gets its error."""
        try:
            await connection.caught_up.wait()
            while True:
                message = self._unacked.take_next()
                if message is not None:
                    await connection.send(*message)
                elif self._is_closed and not self.is_waiting:
                    await connection.half_close()
                    return
                else:
                    self._has_work.clear()
                    await self._has_work.wait()
        except (CallError, ClosedError, ResyncNeeded):
            pass

    def read(self, reply: ChatRsp, epoch: str, user: str | None) -> None:
        """Complete the `send` that waits for this reply, if any.

        The sender's own copy of a message acknowledges it; a REFUSED reply rejects it.
        """
        if reply.kind is ChatRspKind.REFUSED:
            self._resolve(reply.id, RefusedError(reply.message))
        elif reply.kind is ChatRspKind.MESSAGE and (user is None or reply.sender == user):
            self._resolve(reply.id, Position(epoch, reply.offset))

    def _resolve(self, message_id: str, result: Position | Exception) -> None:
        future = self._results.get(message_id)
        if future is not None and not future.done():
            future.set_result(result)
            self._unacked.remove(message_id)

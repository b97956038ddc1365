"""Keeps a client in its room, session after session, until there is no way back.

Rules: what a session brings goes to the program's queue. When that is full, nothing more is read,
so that the server learns of it; but while messages wait to be acknowledged, reading goes on. What
then finds no room is dropped, and the program is *behind*. Once it has taken all that waits, the
session is given up for one that resumes where the program is, and so brings what was dropped. Thus
memory is bounded, `send` never waits for somebody to read, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ..errors import CallError, ClosedError
from ..messages.service.v1 import ChatRsp
from ..rooms.metadata import MAX_HISTORY, JoinResponse
from ..rooms.position import Position
from .call_metadata import MetadataItems, RoomMetadata
from .channel import Channel
from .event_queue import EventQueue
from .events import Reconnecting
from .reconnect import Reconnection, says_come_back
from .room_connection import LeftBehindError, RoomConnection
from .room_cursor import Reading
from .sender import Sender
from .tokens import Token, next_token

__all__ = ["Membership"]

log = logging.getLogger(__name__)


class Membership:
    """One client in one room."""

    def __init__(
        self,
        channel: Channel,
        metadata: RoomMetadata,
        reading: Reading,
        reconnection: Reconnection,
        *,
        token: Token | None,
        timeout: float,
    ) -> None:
        """`timeout`: seconds for the server to answer a call, and for a token to come."""
        self._channel = channel
        self._metadata = metadata
        self._reading = reading
        self._reconnection = reconnection
        self._token = token
        self._timeout = timeout
        self.events = EventQueue(self._event_taken)
        self.sender = Sender(self._wake_reader)
        self.user = metadata.user
        """None while nobody has said it."""
        self.session_id: str | None = None
        self.error: Exception | None = None
        """Why it has ended; None while it has not, and after an end with status OK."""
        self._is_ended = False
        self._connection: RoomConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_go_on = asyncio.Event()
        self._is_behind = False
        self._is_leaving = False

    @property
    def is_entered(self) -> bool:
        """It was let in once."""
        return self._task is not None

    async def enter(self, *, wait_for_ready: bool) -> None:
        """Joins, and stays until `close`. Raises `ChatifyError`.

        A server that asks to come back is given `timeout` seconds to let the client in; with
        `wait_for_ready` it is tried for as long as that may help.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + self._timeout
        while True:
            try:
                await self._join()
                break
            except CallError as error:
                delay = self._reconnection.delay(error, 0)
                if delay is None:
                    raise
                if not wait_for_ready and not (says_come_back(error) and clock() + delay < end):
                    raise
                log.debug("room %r: not in yet: %s", self._metadata.room, error)
                await asyncio.sleep(delay)
        if self._is_ended:  # meanwhile
            await self.close()
            raise ClosedError("the client is closed")
        self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Waits until all that was sent is answered, and the server has ended the session.

        Nothing new can be sent, and what comes is dropped. Where there is no session, once all is
        answered, none is waited for.
        """
        self._is_leaving = True
        self._is_behind = False
        self.events.discard()
        self._wake_reader()
        self.sender.close()
        await self.sender.settled()
        if self._task is not None and self._connection is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Ends it now. May be called again."""
        self._end(ClosedError("the client is closed"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._connection is not None:  # its task was cancelled before it began
            connection, self._connection = self._connection, None
            await connection.close()

    async def ask(
        self, metadata: Callable[[str | None, str | None], MetadataItems]
    ) -> tuple[JoinResponse, list[ChatRsp]]:
        """Makes a call beside the session, for what the room tells whoever joins.

        `metadata` makes that of the call, from the token and the user.
        """
        token = await self._next_token()
        connection = await RoomConnection.open(
            self._channel, metadata(token, self.user), timeout=self._timeout, half_close=True
        )
        replies = []
        try:
            while (reply := await connection.receive()) is not None:
                replies.append(reply)
        finally:
            await connection.close()
        return connection.response, replies

    async def _next_token(self) -> str | None:
        return None if self._token is None else await next_token(self._token, self._timeout)

    async def _join(self) -> RoomConnection:
        """Begins a session: one that resumes where the program is, unless that has enough to do."""
        self._is_behind = self._is_behind and len(self.events) > 0
        if self._is_behind:
            connection = await self._call(None, 0)
        else:
            connection = await self._call(self._reading.resume, self._reading.history)
            if self._reading.has_missed(connection.response):
                await connection.close()
                connection = await self._call(None, MAX_HISTORY)
        self._connection = connection
        response = connection.response
        self.session_id = response.session_id
        self.user = response.user or self.user
        self.sender.begin_session()
        if self._keeps_up():
            self.events.put(*self._reading.begin(response))
        return connection

    async def _call(self, resume: Position | None, history: int) -> RoomConnection:
        token = await self._next_token()
        metadata = self._metadata.session(token, self.user, resume, history)
        return await RoomConnection.open(
            self._channel, metadata, timeout=self._timeout, resume=resume
        )

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await self._stay()
        except Exception as reason:
            error = reason
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        """Tells all who wait, unless they were told before."""
        if not self._is_ended:
            self._is_ended = True
            self.error = error
            self.events.end(error)
            self.sender.end(error or ClosedError("the server has ended the session"))

    async def _stay(self) -> None:
        """Has one session after the other, until one ends OK. Raises what ends the last one."""
        clock = asyncio.get_running_loop().time
        while True:
            joined_at: float | None = None
            try:
                connection = self._connection or await self._join()
                joined_at = clock()
                await self._attend(connection)
                return
            except LeftBehindError:
                pass  # and at once to the next
            except CallError as error:
                delay = self._reconnection.delay(
                    error, 0 if joined_at is None else clock() - joined_at
                )
                if delay is None:
                    raise
                if self._is_leaving and not self.sender.is_waiting:
                    return  # there is nothing to come back for
                log.debug("room %r: back in %.3g s: %s", self._metadata.room, delay, error)
                if self._keeps_up():
                    self.events.put(Reconnecting(self._reconnection.attempt, delay, error))
                await asyncio.sleep(delay)

    async def _attend(self, connection: RoomConnection) -> None:
        """Reads and writes until the session has ended OK."""
        writing = asyncio.create_task(self.sender.write_to(connection))
        writing.add_done_callback(partial(_check_writing, connection))
        try:
            await self._read(connection)
        finally:
            self._connection = None
            await connection.close()
            writing.cancel()
            await asyncio.wait([writing])

    async def _read(self, connection: RoomConnection) -> None:
        epoch = connection.response.newest.epoch
        while True:
            if self.events.is_full:
                await self._until(lambda: not self.events.is_full or self.sender.is_waiting)
            reply = await connection.receive()
            if reply is None:
                break
            self.sender.read(reply, epoch, self.user)
            if self._keeps_up():
                self.events.put(*self._reading.read(reply, self.user))
        if self._is_behind:
            await self._until(lambda: self._is_drained)
        if self._is_drained:
            raise LeftBehindError

    def _keeps_up(self) -> bool:
        """The program gets what comes now; otherwise it is behind."""
        self._is_behind = self._is_behind or self.events.is_full
        return not self._is_behind

    @property
    def _is_drained(self) -> bool:
        """The program is behind, and has taken all that it was given."""
        return self._is_behind and not len(self.events)

    def _event_taken(self) -> None:
        self._wake_reader()
        if self._is_drained and self._connection is not None:
            self._connection.abort(LeftBehindError())

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._is_leaving:
            self._may_go_on.clear()
            await self._may_go_on.wait()

    def _wake_reader(self) -> None:
        self._may_go_on.set()


def _check_writing(connection: RoomConnection, writing: asyncio.Task[None]) -> None:
    error = None if writing.cancelled() else writing.exception()
    if isinstance(error, Exception):
        connection.abort(error)

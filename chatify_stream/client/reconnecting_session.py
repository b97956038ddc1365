"""Keeps a client in its room over successive sessions, until the server or an error stops it.

Events go to a bounded queue. When the queue is full, the reader stops, so flow control slows the
server down. However, while messages wait for their acknowledgement, the reader continues, because
`send` must not depend on a program that does not receive. The events that do not fit are dropped,
and the program is *lagging*. When a lagging program has emptied the queue, the session is replaced:
the new session resumes at the program's position and delivers the dropped events. Thus memory is
bounded and nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..errors import CallError, ClosedError
from ..messages.service.v1 import ChatRsp
from ..rooms.metadata import MAX_HISTORY, JoinResponse
from ..rooms.position import Position
from .call_metadata import MetadataItems, RoomMetadata, Token, next_token
from .channel import Channel
from .event_queue import EventQueue
from .events import Reconnecting
from .reconnect import Reconnection, server_says_reconnect
from .room_connection import ResyncNeeded, RoomConnection
from .room_cursor import RoomCursor
from .sender import Sender

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class ReconnectingSession:
    _channel: Channel
    _metadata: RoomMetadata
    _cursor: RoomCursor
    _reconnection: Reconnection
    token: Token | None
    timeout: float
    """In seconds, for the server's response and for the token function."""
    session_id: str | None = None
    error: Exception | None = None
    """The error that stopped the client; None before the end and after status OK."""
    _is_ended: bool = False
    _connection: RoomConnection | None = None
    _task: asyncio.Task[None] | None = None
    _wake_up: asyncio.Event = field(default_factory=asyncio.Event)
    _has_dropped: bool = False
    _is_leaving: bool = False

    def __post_init__(self) -> None:
        self.events = EventQueue(self._event_taken)
        self.sender = Sender(self._wake_up.set)
        self.user = self._metadata.user
        """The user name; None while only the server knows it."""

    @property
    def is_entered(self) -> bool:
        return self._task is not None

    async def enter(self, *, wait_for_ready: bool) -> None:
        """Join the room, and stay in it until `close`. Raises `ChatifyError`.

        Retries for `timeout` seconds if the server asks the client to reconnect, and without a
        time limit after any retryable error if `wait_for_ready` is set.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + self.timeout
        while True:
            try:
                await self._join()
                break
            except CallError as error:
                delay = self._reconnection.delay(error, 0)
                if delay is None:
                    raise
                in_time = server_says_reconnect(error) and clock() + delay < end
                if not (wait_for_ready or in_time):
                    raise
                text = "room %r: cannot join, retry in %.3g s: %s"
                log.debug(text, self._metadata.room, delay, error)
                await asyncio.sleep(delay)
        if self._is_ended:  # closed during the attempt
            await self.close()
            raise ClosedError("the client is closed")
        self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait until all messages are acknowledged and the server has ended the session.

        Accepts no more messages, and drops all events. Does not wait for a new session if there is
        none when all messages are acknowledged.
        """
        self._is_leaving = True
        self._has_dropped = False
        self.events.discard()
        self._wake_up.set()
        self.sender.close()
        await self.sender.settled()
        if self._task is not None and self._connection is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End the session now. Idempotent."""
        self._end(ClosedError("the client is closed"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._connection is not None:  # the task was cancelled before it began
            connection, self._connection = self._connection, None
            await connection.close()

    async def ask(
        self, metadata: Callable[[str | None, str | None], MetadataItems]
    ) -> tuple[JoinResponse, list[ChatRsp]]:
        """Make a separate call to the room and return the response and all replies.

        `metadata` returns the metadata of the call for a token and a user.
        """
        token = await self._next_token()
        connection = await RoomConnection.open(
            self._channel, metadata(token, self.user), timeout=self.timeout, half_close=True
        )
        replies = []
        try:
            while (reply := await connection.receive()) is not None:
                replies.append(reply)
        finally:
            await connection.close()
        return connection.response, replies

    async def _next_token(self) -> str | None:
        return None if self.token is None else await next_token(self.token, self.timeout)

    async def _join(self) -> RoomConnection:
        """Begin a session that resumes at the program's position.

        While a lagging program has events to take, the session serves only to send.
        """
        self._has_dropped = self._has_dropped and len(self.events) > 0
        if self._has_dropped:
            connection = await self._call(None, 0)
        else:
            connection = await self._call(self._cursor.resume, self._cursor.history)
            if self._cursor.has_missed(connection.response):
                await connection.close()
                connection = await self._call(None, MAX_HISTORY)
        self._connection = connection
        response = connection.response
        self.session_id = response.session_id
        self.user = response.user or self.user
        self.sender.begin_session()
        if not self._is_lagging():
            self.events.put(*self._cursor.begin(response))
        return connection

    async def _call(self, resume: Position | None, history: int) -> RoomConnection:
        token = await self._next_token()
        metadata = self._metadata.session(token, self.user, resume, history)
        return await RoomConnection.open(
            self._channel, metadata, timeout=self.timeout, resume=resume
        )

    async def _run(self) -> None:
        try:
            await self._run_sessions()
        except Exception as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        """Wake all waiting methods with the error. The first call counts."""
        if not self._is_ended:
            self._is_ended = True
            self.error = error
            self.events.end(error)
            self.sender.end(error or ClosedError("the server has ended the session"))

    async def _run_sessions(self) -> None:
        """Run successive sessions until one ends with status OK. Raises the last error."""
        clock = asyncio.get_running_loop().time
        while True:
            joined_at: float | None = None
            try:
                connection = self._connection or await self._join()
                joined_at = clock()
                await self._serve(connection)
                return
            except ResyncNeeded:
                pass  # begin the next session at once
            except CallError as error:
                duration = 0 if joined_at is None else clock() - joined_at
                delay = self._reconnection.delay(error, duration)
                if delay is None:
                    raise
                if self._is_leaving and not self.sender.is_waiting:
                    return  # nothing is left to send
                log.debug("room %r: reconnecting in %.3g s: %s", self._metadata.room, delay, error)
                if not self._is_lagging():
                    self.events.put(Reconnecting(self._reconnection.attempt, delay, error))
                await asyncio.sleep(delay)

    async def _serve(self, connection: RoomConnection) -> None:
        """Read and write until the session has ended with status OK."""
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
        if self._needs_resync:  # the program emptied the queue while the session began
            raise ResyncNeeded
        while True:
            if self.events.is_full:
                await self._wait_until(lambda: not self.events.is_full or self.sender.is_waiting)
            reply = await connection.receive()
            if reply is None:
                break
            self.sender.read(reply, epoch, self.user)
            if not self._is_lagging():
                self.events.put(*self._cursor.read(reply, self.user))
        if self._has_dropped:
            await self._wait_until(lambda: self._needs_resync)
        if self._needs_resync:
            raise ResyncNeeded

    def _is_lagging(self) -> bool:
        """Return whether the next events must be dropped, and remember it until a resync."""
        self._has_dropped = self._has_dropped or self.events.is_full
        return self._has_dropped

    @property
    def _needs_resync(self) -> bool:
        """Whether a lagging program has emptied the queue."""
        return self._has_dropped and not len(self.events)

    def _event_taken(self) -> None:
        self._wake_up.set()
        if self._needs_resync and self._connection is not None:
            self._connection.abort(ResyncNeeded())

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._is_leaving:
            self._wake_up.clear()
            await self._wake_up.wait()


def _check_writing(connection: RoomConnection, writing: asyncio.Task[None]) -> None:
    error = None if writing.cancelled() else writing.exception()
    if isinstance(error, Exception):
        connection.abort(error)

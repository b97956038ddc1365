"""RoomClient: a member of a room that reconnects and resumes by itself."""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl as ssl_module
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Self

from ..address import parse_target
from ..codec import encode_request
from ..errors import ClosedError, UsageError
from ..messages.service.v1 import ChatRspKind
from ..rooms import check_id
from ..rooms.metadata import MAX_HISTORY
from ..rooms.position import Position
from ..wire import CHANNEL_LIMITS, CONNECT_TIMEOUT, Backoff, ClientTLS, MetadataLike
from .call_metadata import RoomMetadata, Token, check_token
from .channel import CLOSE_TIMEOUT, Channel
from .events import Event, Gap, Message
from .reconnect import ROOM_BACKOFF, Reconnection
from .reconnecting_session import ReconnectingSession
from .room_cursor import RoomCursor, read_message

MAX_MESSAGE_SIZE = 64 * 1024
"""The default of the server's limit of messages in rooms, in bytes."""

LIMITS = replace(CHANNEL_LIMITS, keepalive_time=45.0)
"""Our servers ping after 30 s of silence, so a server that is silent for longer may be dead."""


class RoomClient(AsyncIterator[Event]):
    """A member of a room that reconnects and resumes by itself.

        async with RoomClient("localhost:9000", room="lobby", user="ada") as chat:
            await chat.send("good morning")
            async for event in chat:
                if isinstance(event, Message):
                    print(event.sender, event.text)

    - `target`: `HOST:PORT` or `dns:///HOST:PORT`; or several of these, in a list or separated by
      commas; or a `Channel`, whose connections the client shares and does not close.
    - `room`, `user`: names of 1 to 128 characters. Without `user` the server uses the name in the
      token, and without both the client takes a random guest name.
    - `token`: the bearer token, or a function, async or not, that returns the token for each
      session. A `ChatifyError` that it raises counts as the error of the session.
    - `history`: number of newest messages to receive first.
    - `resume`: the `position` of an earlier client, to continue after it. Not with `history`.
    - `presence`: also receive `Joined` and `Left`.
    - `backoff`: the waits between attempts to reconnect.
    - `max_message_size`: the server's limit in bytes. `send` raises `UsageError` above it.
    - `wait_for_ready`: on entering, retry as long as a retry may succeed, instead of raising.
    - `metadata`: sent with each session. Text has ASCII keys; bytes have keys that end in `-bin`.
    - `connect_timeout`: seconds to reach one address, to get a token, and for the server's answer.
    - `close_timeout`: seconds that leaving waits.
    - `ssl`: True, or the result of `client_tls`, to use TLS.

    Entering joins the room. It raises the error of the first attempt; if the server asks the client
    to reconnect, it retries for `connect_timeout` seconds. A client is entered once.

    Afterwards the client stays in the room. When a session is lost, or ends with a retryable
    status, the client reconnects, resumes after the last message, and sends the unacknowledged
    messages again with their ids. Iteration ends when the server ends a session with status OK. It
    yields these events:

    - `Message`: each message once, in the order of the room, the client's own included.
    - `Reconnecting` before an attempt to reconnect, and `Connected` after entering and
      reconnecting.
    - `Gap`: messages may have been missed, because the room no longer keeps them.
    - `Joined` and `Left`, with `presence`.

    A program may send without receiving. The buffer of events is bounded. Events that do not fit
    are requested again when the program has emptied the buffer.

    Leaving waits for unacknowledged messages and for the server to end the session. If the client
    stopped with an error that no method has raised yet, leaving raises that error. After an
    exception in the block, leaving ends the session at once.

    Methods raise the `CallError` that stopped the client, `ClosedError` if the client or the
    sending side is closed, and `UsageError` for misuse.
    """

    def __init__(
        self,
        target: str | Sequence[str] | Channel = "localhost:9000",
        *,
        room: str,
        user: str | None = None,
        token: Token | None = None,
        history: int = 0,
        presence: bool = False,
        resume: Position | str | None = None,
        backoff: Backoff | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        wait_for_ready: bool = False,
        metadata: MetadataLike | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        ssl: bool | ClientTLS | ssl_module.SSLContext | None = None,
    ) -> None:
        try:
            if not isinstance(target, Channel):
                parse_target(target)
            if isinstance(resume, str):
                resume = Position.parse(resume)
        except ValueError as error:
            raise UsageError(str(error)) from None
        check_token(token)
        if user is None and token is None:
            user = f"guest-{secrets.token_hex(4)}"
        _check_number("history", history, 0)
        if history and resume is not None:
            raise UsageError("pass history= or resume=, not both")
        self._metadata = RoomMetadata(room, user, presence, metadata)
        self._cursor = RoomCursor(resume, history)
        self._backoff = backoff or ROOM_BACKOFF
        self._target = target
        self._token = token
        self._max_message_size = max_message_size
        self._wait_for_ready = wait_for_ready
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._ssl = ssl
        self._own_channel: Channel | None = None
        self._session: ReconnectingSession | None = None
        self._position: Position | None = resume
        self._is_closed = False
        self._raised: Exception | None = None  # the error that a method raised last

    async def __aenter__(self) -> Self:
        if self._session is not None or self._is_closed:
            raise UsageError("a RoomClient can be entered once; create a new client")
        channel = self._target
        if not isinstance(channel, Channel):
            channel = self._own_channel = Channel(
                target=channel,
                backoff=self._backoff,
                connect_timeout=self._connect_timeout,
                limits=LIMITS,
                ssl=self._ssl,
            )
        self._session = ReconnectingSession(
            channel,
            self._metadata,
            self._cursor,
            Reconnection(self._backoff, random.random, has_tokens=callable(self._token)),
            token=self._token,
            timeout=self._connect_timeout,
        )
        try:
            await self._session.enter(wait_for_ready=self._wait_for_ready)
        except BaseException:
            await self.cancel()
            raise
        self._position = self._cursor.resume
        return self

    async def __aexit__(self, exc_type: object, exc: object, traceback: object) -> None:
        if self._is_closed or self._session is None:
            return
        try:
            if exc is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._close_timeout):
                        await self._session.finish()
                error = self._session.error
                if error is not None and error is not self._raised:
                    raise error
        finally:
            await self.cancel()

    async def send(self, text: str, *, id: str | None = None) -> Position:  # noqa: A002
        """Publish a message and return its position when it is in the room's log.

        Waits for the acknowledgement, and before that while too many messages are unacknowledged.
        Several tasks may send at once. After a lost connection the client sends the message again
        with the same id. The server publishes an id once within five minutes. `id` is a random text
        by default; a program that sets it may send the message again later.

        Raises `RefusedError` if the server rejects the message. After cancelling, the message may
        or may not be published; it is not published if it was not sent yet.
        """
        session = self._open()
        message_id = id or uuid.uuid4().hex
        _check_message(text, message_id, self._max_message_size)
        try:
            return await session.sender.send(message_id, text)
        except Exception as error:
            self._raised = error
            raise

    async def receive(self) -> Event | None:
        """Wait for the next event and return it, or None after a session ended with status OK.

        One task at a time may call it. Cancelling it loses no event.
        """
        try:
            event = await self._open().events.take()
        except Exception as error:
            self._raised = error
            raise
        if isinstance(event, Message):
            self._position = event.position
        elif isinstance(event, Gap):
            self._position = event.newest
        return event

    async def __anext__(self) -> Event:
        event = await self.receive()
        if event is None:
            raise StopAsyncIteration
        return event

    async def half_close(self) -> None:
        """Close the sending side, and wait until all messages are acknowledged.

        The server then sends what this client has published and ends the session with status OK.
        """
        sender = self._open().sender
        sender.close()
        await sender.settled()

    async def cancel(self) -> None:
        """End the session now. Waiting and later methods raise `ClosedError`. Idempotent."""
        self._is_closed = True
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            if self._own_channel is not None:
                self._own_channel.close()
                await self._own_channel.wait_closed()

    async def history(self, limit: int = 100) -> list[Message]:
        """Return at most `limit` of the newest messages of the room, oldest first.

        Makes a separate call, which is not retried. Raises its `CallError`.
        """
        _check_number("limit", limit, 1)
        session = self._open()
        response, replies = await session.ask(partial(self._metadata.history, limit=limit))
        newest = response.newest
        return [
            read_message(reply, newest.epoch, session.user)
            for reply in replies
            if reply.kind is ChatRspKind.MESSAGE and reply.offset <= newest.offset
        ]

    async def users(self) -> list[str]:
        """Return the sorted names of the users in the room. The list may be a minute old.

        Makes a separate call, which is not retried. Raises its `CallError`.
        """
        _, replies = await self._open().ask(self._metadata.users)
        return sorted({reply.sender for reply in replies if reply.kind is ChatRspKind.JOINED})

    @property
    def room(self) -> str:
        return self._metadata.room

    @property
    def user(self) -> str | None:
        """The user name of this member, or None while only the server knows it."""
        return self._metadata.user if self._session is None else self._session.user

    @property
    def position(self) -> Position | None:
        """The position of the last message that the program received.

        Pass it to a later client as `resume`. Before the first message it is the position at which
        the client joined. None before entering, and with `history` before the first message.
        """
        return self._position

    @property
    def session_id(self) -> str | None:
        """The server's id of the session, which changes with each reconnection; None before."""
        return None if self._session is None else self._session.session_id

    def _open(self) -> ReconnectingSession:
        if self._is_closed:
            raise ClosedError("the client is closed")
        if self._session is None or not self._session.is_entered:
            raise UsageError("the client is not open; use it in `async with`")
        return self._session


def _check_number(name: str, number: int, minimum: int) -> None:
    if type(number) is not int or not minimum <= number <= MAX_HISTORY:
        raise UsageError(
            f"{name}= must be a number from {minimum} to {MAX_HISTORY}, not {number!r}"
        )


def _check_message(text: str, message_id: str, max_size: int) -> None:
    if not isinstance(text, str):
        raise UsageError(f"a message must be a str, not {type(text).__name__}")
    if not isinstance(message_id, str):
        raise UsageError(f"the id of a message must be a str, not {type(message_id).__name__}")
    try:
        check_id(message_id)
        size = len(encode_request(text, message_id))
    except UnicodeEncodeError as error:
        raise UsageError(f"the message is not valid Unicode: {error.reason}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    if size > max_size:
        raise UsageError(f"the message has {size} bytes; at most {max_size} are allowed in a room")

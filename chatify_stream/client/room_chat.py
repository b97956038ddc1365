"""RoomChat: a client in a room, which stays there across lost connections."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import secrets
import ssl as ssl_module
import uuid
from collections.abc import AsyncIterator, Sequence
from functools import partial
from types import TracebackType

from ..address import parse_target
from ..codec import encode_request
from ..errors import ClosedError, UsageError
from ..messages.service.v1 import ChatRspKind
from ..rooms import check_id
from ..rooms.metadata import MAX_HISTORY
from ..rooms.position import Position
from ..wire import CHANNEL_LIMITS, CONNECT_TIMEOUT, Backoff, ClientTLS, MetadataLike
from .call_metadata import RoomMetadata
from .channel import Channel
from .chat_client import CLOSE_TIMEOUT, ChatClient
from .events import Event, Gap, Message
from .reconnect import ROOM_BACKOFF, Reconnection
from .reconnecting_session import Membership
from .room_cursor import Reading, read_message
from .tokens import Token, check_token

__all__ = ["RoomChat"]

MAX_MESSAGE_SIZE = 64 * 1024
"""Bytes that a server takes of a message in a room, unless it is configured otherwise."""

LIMITS = dataclasses.replace(CHANNEL_LIMITS, keepalive_time=45.0)
"""Our servers ping after 30 s of silence, so whoever is silent for longer may be dead."""


class RoomChat(ChatClient):
    """A member of a room: `ChatClient(target, room="lobby", user="ada")`.

    `user` is the name of this member; without it the one that belongs to the `token`, and without
    both a guest's. `token` is called for each call, and gives its token, or an awaitable of it; a
    `ChatifyError` that it raises counts as the call's. `history` is how many of the newest messages
    to begin with; `resume` a position to go on after, of an earlier client. `presence` adds joins
    and leaves. `max_message_size` has to be the server's.

    Entering joins. It raises what hinders that: at once, or after `connect_timeout` seconds of a
    server that asks to come back later; with `wait_for_ready` only what cannot pass.

    From then on the client stays in the room. A session that is lost, or ends with a status that
    may pass, is followed by another: after a time that `backoff` says, with the ids of what was not
    acknowledged, and from the last message on. Iterating gives what happens, as events, until the
    server has ended the chat with status OK:

    - `Message`, each once and in the order of the room, one's own included;
    - `Connected`, first, and whenever the client has come back; `Reconnecting` before that;
    - `Gap`, where messages may have been missed, because the room does not keep them any more;
    - `Joined` and `Left`, with `presence`.

    A program that does not take its events holds up nobody: `send` works without it. So many
    events wait as there is room for, and what did not fit is asked for again when it goes on.

    Leaving waits `close_timeout` seconds for messages that are not acknowledged and for the server
    to end the session, and raises the error that has ended the chat, when no method has done so
    before. Leaving because of an exception ends it at once.

    Methods raise the `CallError` that has ended the chat for good, `ClosedError` when it was ended
    or closed before, and `UsageError` for wrong use. A method that is cancelled loses no event.
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
        self._reading = Reading(resume, history)
        self._backoff = backoff or ROOM_BACKOFF
        self._target = target
        self._token = token
        self._max_message_size = max_message_size
        self._wait_for_ready = wait_for_ready
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._ssl = ssl
        self._own_channel: Channel | None = None
        self._membership: Membership | None = None
        self._position: Position | None = resume
        self._is_closed = False
        self._told: Exception | None = None  # the error that a method has raised last

    async def __aenter__(self) -> RoomChat:
        if self._membership is not None or self._is_closed:
            raise UsageError("a ChatClient is entered once: make a new one for each time")
        if isinstance(self._target, Channel):
            channel = self._target
        else:
            channel = self._own_channel = Channel(
                target=self._target,
                backoff=self._backoff,
                connect_timeout=self._connect_timeout,
                limits=LIMITS,
                ssl=self._ssl,
            )
        self._membership = Membership(
            channel,
            self._metadata,
            self._reading,
            Reconnection(self._backoff, random.random, has_tokens=callable(self._token)),
            token=self._token,
            timeout=self._connect_timeout,
        )
        try:
            await self._membership.enter(wait_for_ready=self._wait_for_ready)
        except BaseException:
            await self.cancel()
            raise
        self._position = self._reading.resume
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_closed or self._membership is None:
            return
        try:
            if exc is None:
                await self._finish(self._membership)
        finally:
            await self.cancel()

    async def _finish(self, membership: Membership) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await membership.finish()
        except TimeoutError:
            pass  # it is then ended as it is
        if membership.error is not None and membership.error is not self._told:
            raise membership.error

    async def send(self, text: str, *, id: str | None = None) -> Position:  # noqa: A002
        """Publishes a message; its position, once it is in the log of the room.

        It is sent again after a lost connection, with its id, so that it is published once: as long
        as the server knows the id, which is five minutes. A program that has an `id` of its own
        may send it again later in the same way. Without one it gets a new one.

        Waits while too many messages are not acknowledged. Safe from several tasks. Raises
        `RefusedError` when the server does not publish it. Cancelled, it leaves open whether the
        message is published, unless it was not sent yet: then it is not.
        """
        membership = self._open()
        message_id = id or uuid.uuid4().hex
        _check_message(text, message_id, self._max_message_size)
        try:
            return await membership.sender.send(message_id, text)
        except Exception as error:
            self._told = error
            raise

    async def receive(self) -> Event | None:
        """The next event, or None once the server has ended the chat with status OK.

        One task at a time may wait for events.
        """
        try:
            event = await self._open().events.take()
        except Exception as error:
            self._told = error
            raise
        if isinstance(event, Message):
            self._position = event.position
        elif isinstance(event, Gap):
            self._position = event.newest
        return event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self.receive()
        if event is None:
            raise StopAsyncIteration
        return event

    async def half_close(self) -> None:
        """Says that no more messages come, once all are acknowledged; waits for that.

        The server then ends the chat, after everything that this client has published.
        """
        sender = self._open().sender
        sender.close()
        await sender.settled()

    async def cancel(self) -> None:
        """Ends it now: what waits, or is called later, gets `ClosedError`. May be called again."""
        self._is_closed = True
        try:
            if self._membership is not None:
                await self._membership.close()
        finally:
            if self._own_channel is not None:
                self._own_channel.close()
                await self._own_channel.wait_closed()

    async def history(self, limit: int = 100) -> list[Message]:
        """The newest messages of the room, at most so many, the oldest of them first.

        It is a call of its own, which is not made again when it fails.
        """
        _check_number("limit", limit, 1)
        membership = self._open()
        response, replies = await membership.ask(partial(self._metadata.history, limit=limit))
        newest = response.newest
        return [
            read_message(reply, newest.epoch, membership.user)
            for reply in replies
            if reply.kind is ChatRspKind.MESSAGE and reply.offset <= newest.offset
        ]

    async def users(self) -> list[str]:
        """Who is in the room, in the order of their names. May be a minute old.

        As `history` otherwise.
        """
        _, replies = await self._open().ask(self._metadata.users)
        return sorted({reply.sender for reply in replies if reply.kind is ChatRspKind.JOINED})

    @property
    def room(self) -> str:
        return self._metadata.room

    @property
    def user(self) -> str | None:
        """The name of this member; None when only the server knows it."""
        return self._metadata.user if self._membership is None else self._membership.user

    @property
    def position(self) -> Position | None:
        """Of the newest message that was taken; before the first, where the client has joined.

        A later client that gets it as `resume` goes on there. None before the client is in, and
        with `history` before the first message was taken.
        """
        return self._position

    @property
    def session_id(self) -> str | None:
        """The server's name of the session, which is a new one after each reconnection."""
        return None if self._membership is None else self._membership.session_id

    def _open(self) -> Membership:
        if self._is_closed:
            raise ClosedError("the client is closed")
        if self._membership is None or not self._membership.is_entered:
            raise UsageError("the client is not open: use it in `async with`")
        return self._membership


def _check_number(name: str, number: int, least: int) -> None:
    if type(number) is not int or not least <= number <= MAX_HISTORY:
        raise UsageError(f"{name}= is a number from {least} to {MAX_HISTORY}, not {number!r}")


def _check_message(text: str, message_id: str, max_size: int) -> None:
    if not isinstance(text, str):
        raise UsageError(f"a message is a str, not {type(text).__name__}")
    if not isinstance(message_id, str):
        raise UsageError(f"the id of a message is a str, not {type(message_id).__name__}")
    try:
        check_id(message_id)
        size = len(encode_request(text, message_id))
    except UnicodeEncodeError as error:
        raise UsageError(f"the message is not valid Unicode: {error.reason}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    if size > max_size:
        raise UsageError(f"the message has {size} bytes; at most {max_size} are allowed in a room")

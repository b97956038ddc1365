"""The hooks of the program in which a server runs: who may join, what may be said.

Rules: a hook is awaited for a bounded time. One that raises `RefusedError` refuses what it was
asked about, with that reason; one that fails or takes too long refuses it too, with a reason that
tells nothing of the failure, which is logged. Nothing else is touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ...errors import CallError, RefusedError, UncheckedError
from ..session import Peer

__all__ = [
    "Hooks",
    "JoinHook",
    "JoinedSession",
    "LeaveHook",
    "MessageHook",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomObserver",
    "RoomObservers",
]

log = logging.getLogger(__name__)


class JoinedSession(Protocol):
    """A session of a room, as an observer sees it."""

    room: str
    user: str
    session_id: str


class RoomObserver:
    """Does nothing; a subclass overrides what it wants to be told of."""

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        """A session is in its room; `recovered` is None when it did not ask to resume."""


class RoomObservers:
    """Several, as one."""

    def __init__(self, observers: Sequence[RoomObserver]) -> None:
        self._observers = tuple(observers)

    def session_joined(self, session: JoinedSession, recovered: bool | None) -> None:
        for observer in self._observers:
            try:
                observer.session_joined(session, recovered)
            except BaseException:  # SystemExit would end the session
                log.exception("an observer failed")


T = TypeVar("T")


@dataclass(frozen=True)
class RoomJoin:
    """A session that wants to join a room."""

    room: str
    user: str
    session_id: str
    peer: Peer
    metadata: Mapping[str, str | bytes]
    identity: Any = None
    """The `Identity` of who calls; None on a server that asks nobody who they are."""


@dataclass(frozen=True)
class RoomMessage:
    """A message that a session wants to publish."""

    room: str
    user: str
    session_id: str
    text: str
    id: str


@dataclass(frozen=True)
class RoomLeave:
    """A session that has left a room, for whatever reason."""

    room: str
    user: str
    session_id: str


JoinHook = Callable[[RoomJoin], Awaitable[None]]
"""Raises `RefusedError` for a user who is not let in."""

MessageHook = Callable[[RoomMessage], Awaitable[str | None]]
"""The text to publish instead, or None for the text as it is. May raise `RefusedError`."""

LeaveHook = Callable[[RoomLeave], Awaitable[None]]
"""Told when a session has left."""


class Hooks:
    """The hooks of one server, each with its deadline."""

    def __init__(
        self,
        on_join: JoinHook | None,
        on_message: MessageHook | None,
        on_leave: LeaveHook | None,
        timeout: float,
        max_size: int,
    ) -> None:
        """`timeout`: seconds for each call of a hook; `max_size`: bytes that a text may have."""
        self._on_join = on_join
        self._on_message = on_message
        self._on_leave = on_leave
        self._timeout = timeout
        self._max_size = max_size

    @property
    def check_messages(self) -> bool:
        """There is a hook for messages."""
        return self._on_message is not None

    async def join(self, join: RoomJoin) -> None:
        """Raises `RefusedError`."""
        if self._on_join is not None:
            await self._ask("on_join", self._on_join, join)

    async def message(self, message: RoomMessage) -> str:
        """The text to publish. Raises `RefusedError`."""
        if self._on_message is None:
            return message.text
        text = await self._ask("on_message", self._on_message, message)
        if text is None:
            return message.text
        try:
            size = len(text.encode())
        except (AttributeError, UnicodeEncodeError):
            log.error("on_message has to return a text or None, not %r", text)
            raise UncheckedError("it could not be checked; try again later") from None
        if size > self._max_size:
            log.error("on_message returned %d bytes; at most %d are allowed", size, self._max_size)
            raise UncheckedError("it could not be checked; try again later")
        return text

    async def leave(self, leave: RoomLeave) -> None:
        """Raises nothing."""
        if self._on_leave is not None:
            try:
                await self._ask("on_leave", self._on_leave, leave)
            except RefusedError as error:
                log.debug("on_leave has nothing to refuse: %s", error)

    async def _ask(self, name: str, hook: Callable[[Any], Awaitable[T]], event: Any) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await hook(event)
        except RefusedError:
            raise
        except CallError as error:
            raise RefusedError(error.message or error.status.name) from error
        except TimeoutError:
            log.error("%s took longer than %g s", name, self._timeout)
            raise UncheckedError("it could not be checked in time; try again later") from None
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:  # SystemExit would stop the event loop
            log.exception("%s failed", name)
            raise UncheckedError("it could not be checked; try again later") from None

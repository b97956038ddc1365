"""A user's stay in a room: where it begins, what happens, and what is remembered of it.

Rules: who was here before begins behind the last message that they were shown, anyone else with
the newest ones. A position is remembered when what belongs to it has been shown, never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ...client import Connected, Event, Gap, Message, Reconnecting, RoomClient
from ...config import ClientSettings
from ...errors import DeadlineExceededError, Status
from ...rooms.position import Position
from ..client_options import client_tls_of, token_of
from .bookmark import Bookmark

__all__ = ["ChatOptions", "Visit"]

LARGEST_BATCH = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChatOptions:
    """What does not change from room to room."""

    user: str
    history: int
    """How many of the newest messages to show, where nothing says where to go on."""
    is_fresh: bool
    """Do not go on where the last visit ended."""
    folder: Path
    """Where the bookmarks are."""
    client: ClientSettings
    says_user: bool = True
    """The server is told the user; otherwise it knows them by the token."""


class Visit:
    """Raises `UsageError` for names that are not allowed; entering it as `RoomClient` does."""

    def __init__(self, options: ChatOptions, room: str, *, presence: bool) -> None:
        client = options.client
        self._options = options
        self._bookmark = Bookmark(options.folder, client.target, room, options.user)
        self._is_remembered = True
        self.resumed = None if options.is_fresh else self._remembered()
        """Where it goes on; None for a visit that begins with the newest messages."""
        self.chat = RoomClient(
            client.target,
            room=room,
            user=options.user if options.says_user else None,
            token=token_of(client),
            history=options.history if self.resumed is None else 0,
            presence=presence,
            resume=self.resumed,
            wait_for_ready=client.wait_for_ready,
            connect_timeout=client.connect_timeout,
            ssl=client_tls_of(client),
        )

    async def __aenter__(self) -> Visit:
        timeout = self._options.client.timeout
        try:
            async with asyncio.timeout(timeout):
                await self.chat.__aenter__()
        except TimeoutError:
            raise _too_late(timeout, None) from None
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.chat.__aexit__(exc_type, exc, traceback)

    async def close(self) -> None:
        """Ends it now."""
        await self.chat.cancel()

    async def batches(self) -> AsyncGenerator[Sequence[Event], None]:
        """What happens, until the chat ends: always all that is there, to be shown at once.

        Raises `CallError`; `DeadlineExceededError` after `timeout` seconds without the server.
        """
        timeout, clock = self._options.client.timeout, asyncio.get_running_loop().time
        lost: Reconnecting | None = None
        deadline: float | None = None
        batch: list[Event] = []
        upcoming = asyncio.ensure_future(self.chat.receive())
        try:
            while True:
                wait = None if deadline is None else max(0, deadline - clock())
                await asyncio.wait({upcoming}, timeout=wait)
                if not upcoming.done():
                    raise _too_late(timeout, lost)
                if (event := upcoming.result()) is None:
                    return
                if isinstance(event, Reconnecting):
                    if lost is None and timeout is not None:
                        deadline = clock() + timeout
                    lost = event
                elif isinstance(event, Connected):
                    lost = deadline = None
                batch.append(event)
                upcoming = asyncio.ensure_future(self.chat.receive())
                await asyncio.sleep(0)  # in which it is done, if the next event is there
                if len(batch) >= LARGEST_BATCH or not _has_event(upcoming):
                    yield batch
                    batch = []
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    def remember(self, shown: Sequence[Event]) -> None:
        """These were shown, and the terminal or the file has them."""
        position = next(filter(None, map(self._position_after, reversed(shown))), None)
        if position is not None and self._is_remembered:
            try:
                self._bookmark.write(position)
            except OSError as error:
                self._cannot_remember(error)

    def _position_after(self, event: Event) -> Position | None:
        match event:
            case Message():
                return event.position
            case Gap():
                return event.newest
            case Connected() if not (self._options.history and event.position.offset):
                return event.position if event.recovered is None else None
        return None

    def _remembered(self) -> Position | None:
        try:
            return self._bookmark.read()
        except OSError as error:
            self._cannot_remember(error)
            return None

    def _cannot_remember(self, error: OSError) -> None:
        self._is_remembered = False
        log.warning(
            "the next visit will not know where this one ended: %s: %s",
            self._bookmark.file.parent,
            error.strerror,
        )


def _has_event(upcoming: asyncio.Future[Event | None]) -> bool:
    return upcoming.done() and upcoming.exception() is None and upcoming.result() is not None


def _too_late(timeout: float | None, lost: Reconnecting | None) -> DeadlineExceededError:
    reason = "" if lost is None else f": {lost.error}"
    return DeadlineExceededError(
        Status.DEADLINE_EXCEEDED, f"without the server for {timeout:g} s{reason}"
    )

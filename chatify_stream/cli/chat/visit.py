"""A user's visit to a room: its start position, its events, and the position saved for the next.

A returning user resumes after the last message shown; a new user starts with the newest messages.
A position is saved only after its message was shown.
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
from ..client_options import tls_from_settings, token_from_settings
from .bookmark import Bookmark

MAX_BATCH = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChatOptions:
    """Options that are the same for every room."""

    user: str
    history: int
    """Number of newest messages to show if no position is saved."""
    is_fresh: bool
    """Ignore the saved position."""
    folder: Path
    """The folder of the saved positions."""
    client: ClientSettings
    sends_user: bool = True
    """Send the user name to the server; otherwise the token identifies the user."""


class Visit:
    """A visit to a room, entered like `RoomClient`. Raises `UsageError` for invalid names."""

    def __init__(self, options: ChatOptions, room: str, *, presence: bool) -> None:
        client = options.client
        self._options = options
        self._bookmark = Bookmark(options.folder, client.target, room, options.user)
        self._saves_position = True
        self.resumed = None if options.is_fresh else self._saved_position()
        """The position to resume from; None to start with the newest messages."""
        self.chat = RoomClient(
            client.target,
            room=room,
            user=options.user if options.sends_user else None,
            token=token_from_settings(client),
            history=options.history if self.resumed is None else 0,
            presence=presence,
            resume=self.resumed,
            wait_for_ready=client.wait_for_ready,
            connect_timeout=client.connect_timeout,
            ssl=tls_from_settings(client),
        )

    async def __aenter__(self) -> Visit:
        timeout = self._options.client.timeout
        try:
            async with asyncio.timeout(timeout):
                await self.chat.__aenter__()
        except TimeoutError:
            raise _timeout_error(timeout, None) from None
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.chat.__aexit__(exc_type, exc, traceback)

    async def close(self) -> None:
        """End the visit immediately."""
        await self.chat.cancel()

    async def batches(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yield batches of all available events, until the chat ends.

        Raises `CallError`, and `DeadlineExceededError` after `timeout` seconds without a
        connection to the server.
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
                    raise _timeout_error(timeout, lost)
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
                await asyncio.sleep(0)  # completes `upcoming` if the next event is available
                if len(batch) >= MAX_BATCH or not _has_event(upcoming):
                    yield batch
                    batch = []
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    def save_position(self, shown: Sequence[Event]) -> None:
        """Save the position of events that were shown: the output has received them."""
        position = next(filter(None, map(self._position_after, reversed(shown))), None)
        if position is not None and self._saves_position:
            try:
                self._bookmark.write(position)
            except OSError as error:
                self._disable_saving(error)

    def _position_after(self, event: Event) -> Position | None:
        match event:
            case Message():
                return event.position
            case Gap():
                return event.newest
            case Connected() if not (self._options.history and event.position.offset):
                return event.position if event.recovered is None else None
        return None

    def _saved_position(self) -> Position | None:
        try:
            return self._bookmark.read()
        except OSError as error:
            self._disable_saving(error)
            return None

    def _disable_saving(self, error: OSError) -> None:
        self._saves_position = False
        log.warning(
            "%s: cannot save or read the position in the room: %s",
            self._bookmark.file.parent,
            error.strerror,
        )


def _has_event(upcoming: asyncio.Future[Event | None]) -> bool:
    return upcoming.done() and upcoming.exception() is None and upcoming.result() is not None


def _timeout_error(timeout: float | None, lost: Reconnecting | None) -> DeadlineExceededError:
    reason = "" if lost is None else f": {lost.error}"
    return DeadlineExceededError(
        Status.DEADLINE_EXCEEDED, f"no connection to the server for {timeout:g} s{reason}"
    )

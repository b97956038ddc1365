"""A user's visit to a room: its start position, its events, and the position saved for the next.

A returning user resumes after the last message shown; a new user starts with the newest messages.
A position is saved after its message was shown, never before. A process that is killed at any
moment therefore loses no message, but may show a message twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...client import Connected, Event, Gap, Message, Reconnecting, RoomClient
from ...config import ClientSettings
from ...errors import DeadlineExceededError, Status
from ...rooms.position import Position
from ..client_options import tls_from_settings, token_from_settings

MAX_BATCH = 500

log = logging.getLogger(__name__)


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for the state of programs of this user.

    Raises `RuntimeError` if the user has no home folder.
    """
    if os.name == "nt" and (local := environ.get("LOCALAPPDATA")):
        base = Path(local)
    elif Path(state := environ.get("XDG_STATE_HOME", "")).is_absolute():
        base = Path(state)
    else:
        base = Path.home() / ".local" / "state"
    return base / "chatify-stream"


class Bookmark:
    """The saved position of one user in one room of one server, a file replaced atomically."""

    def __init__(self, folder: Path, server: str, room: str, user: str) -> None:
        self._key = {"server": server, "room": room, "user": user}
        # File names allow fewer characters than the names of rooms and users.
        digest = hashlib.sha256(json.dumps(self._key).encode()).hexdigest()
        self.file = folder / f"{digest[:32]}.json"

    def read(self) -> Position | None:
        """Return the position, or None for a missing or damaged file. Raises `OSError`."""
        try:
            entry = json.loads(self.file.read_bytes())
            return Position.parse(str(entry["position"]))
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def write(self, position: Position) -> None:
        """Save a position. Raises `OSError`."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({**self._key, "position": str(position)}, ensure_ascii=False)
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.file)


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

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.chat.__aexit__(*exc_info)

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

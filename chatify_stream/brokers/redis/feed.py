"""The events of one room: messages in order, each once, and presence changes.

Pub/sub notices may have gaps. A notice is delivered only if it directly follows the last delivered
message. Otherwise, after every new subscription of the channel, and at regular intervals, the feed
catches up: it reads the log from the last known position, and holds new notices until that is done.
If the log is another one, or no longer contains the missing messages, the feed begins again and
gives the subscriber the new position.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...errors import BrokerError
from ...rooms import Publication
from ...rooms.position import Position
from ..base import Subscriber

MAX_HELD = 1000
"""Held notices above which the messages are read from the log instead."""

RECENT = 256
"""Calls whose messages were read from the log while their notices may still arrive."""

RETRY_DELAY = 0.2
"""Seconds between attempts to read the log."""


class LogPosition(NamedTuple):
    """A position in a log, proven by the nonce of the call that published that message."""

    epoch: str
    offset: int
    nonce: str


UNKNOWN = LogPosition("", 0, "")


class LogChanges(NamedTuple):
    newest: LogPosition
    oldest: int
    """Offset of the first message that is known to follow, if it is still stored."""
    changes: int
    found: Sequence[tuple[Publication, str]]
    """The messages with the nonces of their calls."""


@dataclass(eq=False, repr=False)
class Feed:
    _room: str
    _subscriber: Subscriber
    _look: Callable[[str, LogPosition | None], Awaitable[LogChanges]]
    """Reads the log after a position."""
    _users: Callable[[str], Awaitable[tuple[str, int, set[str]]]]
    """Returns the epoch, the number of presence changes and the users."""
    known: LogPosition | None = None
    problem: BrokerError | None = None
    """The error of the last attempt to read the log."""
    _present: set[str] = field(default_factory=set)
    _changes: int = -1
    _held: deque[list[Any]] = field(default_factory=deque)
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    _is_behind: bool = False
    _catching_up: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The exception is also retrieved if the caller was cancelled.
        self._begun.add_done_callback(lambda begun: begun.exception())

    async def begin(self) -> None:
        """Wait until the subscriber has the room's position. Raises the error of `close`."""
        await asyncio.shield(self._begun)

    @property
    def has_begun(self) -> bool:
        """Whether the subscriber has the room's position."""
        return self._begun.done() and self._begun.exception() is None

    def look(self) -> None:
        self._is_behind = True
        if self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up_while_needed())

    def receive(self, payload: bytes) -> None:
        try:
            notice = json.loads(payload)
        except ValueError:
            return  # not sent by this program
        if self._catching_up is None:
            self._handle(notice)
        elif len(self._held) < MAX_HELD:
            self._held.append(notice)
        else:
            self._held.clear()
            self._is_behind = True

    def close(self, error: BrokerError) -> None:
        """Stop reporting; a caller that waits in `begin` gets the error."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        if not self._begun.done():
            self._begun.set_exception(error)

    async def _catch_up_while_needed(self) -> None:
        try:
            while self._is_behind:
                self._is_behind = False
                try:
                    await self._catch_up()
                except BrokerError as error:
                    self.problem, self._is_behind = error, True
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                while self._held and not self._is_behind:
                    self._handle(self._held.popleft(), is_held=True)
        finally:
            self._catching_up = None

    async def _catch_up(self) -> None:
        look = await self._look(self._room, self.known)
        known = self.known
        if known is None or look.newest.epoch != known.epoch:
            self._begin_at(look.newest)
        elif look.newest.offset > known.offset:
            first = known.offset + 1
            offsets = [publication.offset for publication, _ in look.found]
            expected = list(range(first, first + len(offsets)))
            if not offsets or look.oldest > first or offsets != expected:
                self._begin_at(look.newest)
            else:
                self._deliver([each for each, _ in look.found], look.found[-1][1])
                self._recent += [nonce for _, nonce in look.found]
                self._is_behind = self._is_behind or offsets[-1] < look.newest.offset
        if look.changes != self._changes:
            await self._catch_up_presence()
        if not self._begun.done():
            self._begun.set_result(None)

    def _handle(self, notice: list[Any], *, is_held: bool = False) -> None:
        match notice:
            case ["messages", epoch, int(first), before, nonce, messages]:
                self._handle_messages(LogPosition(epoch, first, nonce), before, messages, is_held)
            case ["joined" | "left" as verb, int(change), str(user)]:
                if change == self._changes + 1:
                    self._changes = change
                    self._report_presence(user, verb == "joined")
                elif change > self._changes:
                    self._is_behind = True
            case ["reset", _]:
                self._is_behind = True
        if self._is_behind and not is_held:
            self.look()

    def _handle_messages(
        self, first: LogPosition, before: str, messages: list[Any], is_held: bool
    ) -> None:
        """Deliver a call's messages; `before` is the nonce of the previous call."""
        known = self.known
        if known is None or first.epoch != known.epoch or first.offset > known.offset + 1:
            self._is_behind = True
            return
        skip = known.offset + 1 - first.offset
        if skip < len(messages):
            if known.nonce != (first.nonce if skip else before):
                self._is_behind = True  # the notice does not follow the known message
                return
            numbered = enumerate(messages[skip:], known.offset + 1)
            self._deliver([Publication(offset, *each) for offset, each in numbered], first.nonce)
        elif not is_held and first.nonce != known.nonce and first.nonce not in self._recent:
            self._is_behind = True  # delivered before, or the log went backwards

    def _begin_at(self, newest: LogPosition) -> None:
        self.known = newest
        self._recent.clear()
        self._changes = -1
        self._subscriber.begins_at(self._room, Position(newest.epoch, newest.offset))

    def _deliver(self, publications: list[Publication], nonce: str) -> None:
        if publications and self.known is not None:
            self.known = LogPosition(self.known.epoch, publications[-1].offset, nonce)
            self._subscriber.published(self._room, publications)

    async def _catch_up_presence(self) -> None:
        epoch, changes, present = await self._users(self._room)
        if self._begun.done():
            for user in sorted(self._present - present):
                self._report_presence(user, False)
            for user in sorted(present - self._present):
                self._report_presence(user, True)
        self._present, self._changes = present, changes
        if self.known is not None and epoch != self.known.epoch:
            self._is_behind = True

    def _report_presence(self, user: str, joined: bool) -> None:
        if joined is (user in self._present):
            return
        (self._present.add if joined else self._present.discard)(user)
        self._subscriber.presence_changed(self._room, user, joined)

"""What is told of one room: its messages in their order, each once, and who comes and goes.

Rules: what Redis tells by pub/sub may have holes, so it is passed on only where it follows what was
told before. Otherwise, whenever the channel was subscribed to anew, and from time to time, the log
is looked into, from where the room is known to be; what comes meanwhile is held until that is done.
A log that is not the one that was known begins anew, and the subscriber is told where. So does one
that does not keep any more what is missing.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from ...errors import BrokerError
from ...rooms import Publication
from ...rooms.position import Position
from ..base import Subscriber

__all__ = ["Feed", "Known", "Look", "publication_of"]

MOST_HELD = 1000
"""Notices that are held; past it they are read from the log."""

RECENT = 256
"""Calls whose messages were read from the log, and may yet be told."""

AGAIN = 0.2
"""Seconds after which the log is looked into again, when that has failed."""


class Known(NamedTuple):
    """Where a log is, and the proof: the nonce of the call that published the newest message."""

    epoch: str
    offset: int
    nonce: str


class Look(NamedTuple):
    """What was found in the log of a room."""

    newest: Known
    oldest: int
    """The first that surely follows what was known, if that is still kept."""
    changes: int
    """How often somebody has come or gone."""
    found: Sequence[tuple[Publication, str]]
    """What follows, with the nonces."""


def publication_of(offset: int, fields: Sequence[Any]) -> Publication:
    user, text, message_id, sent_at_ms = fields
    return Publication(offset, user, text, message_id, sent_at_ms)


class Feed:
    """One room that is subscribed to."""

    def __init__(
        self,
        room: str,
        subscriber: Subscriber,
        look: Callable[[str, Known | None], Awaitable[Look]],
        users: Callable[[str], Awaitable[tuple[str, int, set[str]]]],
    ) -> None:
        """`look` finds what is behind a position, `users` the epoch, changes and users."""
        self._room = room
        self._subscriber = subscriber
        self._look = look
        self._users = users
        self.known: Known | None = None
        self._present: set[str] = set()
        self._changes = -1
        self._held: deque[list[Any]] = deque()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._has_to_look = False
        self._looking: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun.add_done_callback(lambda begun: begun.exception())  # if nobody else asks
        self.trouble: BrokerError | None = None
        """Why it could not be looked into the log."""

    async def begin(self) -> None:
        """Waits until the subscriber was told where the room begins. Raises what `close` has."""
        await asyncio.shield(self._begun)

    @property
    def has_begun(self) -> bool:
        """The subscriber was told where the room begins."""
        return self._begun.done() and self._begun.exception() is None

    def look(self) -> None:
        """Looks into the log, soon."""
        self._has_to_look = True
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    def receive(self, payload: bytes) -> None:
        """What Redis tells."""
        try:
            notice = json.loads(payload)
        except ValueError:
            return  # not ours
        if self._looking is None:
            self._take(notice)
        elif len(self._held) < MOST_HELD:
            self._held.append(notice)
        else:
            self._held.clear()
            self._has_to_look = True

    def close(self, error: BrokerError) -> None:
        """Nothing is told any more; whoever waits for the beginning gets the error."""
        if self._looking is not None:
            self._looking.cancel()
        if not self._begun.done():
            self._begun.set_exception(error)

    async def _keep_looking(self) -> None:
        try:
            while self._has_to_look:
                self._has_to_look = False
                try:
                    await self._look_once()
                except BrokerError as error:
                    self.trouble, self._has_to_look = error, True
                    await asyncio.sleep(AGAIN)
                    continue
                while self._held and not self._has_to_look:
                    self._take(self._held.popleft(), is_held=True)
        finally:
            self._looking = None

    async def _look_once(self) -> None:
        look = await self._look(self._room, self.known)
        known = self.known
        if known is None or look.newest.epoch != known.epoch:
            self._begin_at(look.newest)
        elif look.newest.offset > known.offset:
            offsets = [publication.offset for publication, _ in look.found]
            expected = range(known.offset + 1, known.offset + 1 + len(offsets))
            if not offsets or look.oldest > known.offset + 1 or offsets != list(expected):
                self._begin_at(look.newest)
            else:
                self._tell([each for each, _ in look.found], look.found[-1][1])
                self._recent += [nonce for _, nonce in look.found]
                self._has_to_look = self._has_to_look or offsets[-1] < look.newest.offset
        if look.changes != self._changes:
            await self._look_who_is_there()
        if not self._begun.done():
            self._begun.set_result(None)

    def _take(self, notice: list[Any], *, is_held: bool = False) -> None:
        match notice:
            case ["messages", epoch, int(first), before, nonce, messages]:
                self._take_messages(Known(epoch, first, nonce), before, messages, is_held)
            case ["joined" | "left" as verb, int(change), str(user)]:
                if change == self._changes + 1:
                    self._changes = change
                    self._tell_presence(user, verb == "joined")
                elif change > self._changes:
                    self._has_to_look = True
            case ["reset", _]:
                self._has_to_look = True
        if self._has_to_look and not is_held:
            self.look()

    def _take_messages(self, first: Known, before: str, messages: list[Any], is_held: bool) -> None:
        """`first` has the nonce of the call, `before` is that of the one before it."""
        known = self.known
        if known is None or first.epoch != known.epoch or first.offset > known.offset + 1:
            self._has_to_look = True
            return
        told = known.offset + 1 - first.offset
        if told < len(messages):
            if known.nonce != (first.nonce if told else before):
                self._has_to_look = True  # it follows something else
                return
            numbered = enumerate(messages[told:], known.offset + 1)
            self._tell([publication_of(*each) for each in numbered], first.nonce)
        elif not is_held and first.nonce != known.nonce and first.nonce not in self._recent:
            self._has_to_look = True  # it was told before, or the log has gone back

    def _begin_at(self, newest: Known) -> None:
        self.known = newest
        self._recent.clear()
        self._changes = -1
        self._subscriber.begins_at(self._room, Position(newest.epoch, newest.offset))

    def _tell(self, publications: list[Publication], nonce: str) -> None:
        if publications and self.known is not None:
            self.known = Known(self.known.epoch, publications[-1].offset, nonce)
            self._subscriber.published(self._room, publications)

    async def _look_who_is_there(self) -> None:
        epoch, changes, present = await self._users(self._room)
        if self._begun.done():
            for user in sorted(self._present - present):
                self._tell_presence(user, False)
            for user in sorted(present - self._present):
                self._tell_presence(user, True)
        self._present, self._changes = present, changes
        if self.known is not None and epoch != self.known.epoch:
            self._has_to_look = True

    def _tell_presence(self, user: str, joined: bool) -> None:
        if joined is (user in self._present):
            return
        (self._present.add if joined else self._present.discard)(user)
        self._subscriber.presence_changed(self._room, user, joined)

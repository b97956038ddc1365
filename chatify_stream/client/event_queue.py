"""The events that a program has not taken yet.

Rules: it is bounded. From the moment that it is full, until half of it was taken, nobody should put
more; who has to, may. One task at a time takes. After the end, what is here can still be taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import UsageError
from .events import Event, Message

__all__ = ["MOST_CHARACTERS", "MOST_EVENTS", "EventQueue"]

MOST_EVENTS = 1000
MOST_CHARACTERS = 1_000_000


class EventQueue:
    """Events, in their order."""

    def __init__(
        self,
        on_taken: Callable[[], None],
        *,
        most_events: int = MOST_EVENTS,
        most_characters: int = MOST_CHARACTERS,
    ) -> None:
        """`on_taken` is called when an event was taken."""
        self._on_taken = on_taken
        self._most_events = most_events
        self._most_characters = most_characters
        self._events: deque[Event] = deque()
        self._characters = 0
        self._is_full = False
        self._is_discarding = False
        self._is_ended = False
        self._error: Exception | None = None
        self._taker: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_full(self) -> bool:
        """Nobody should put more."""
        return self._is_full

    def put(self, *events: Event) -> None:
        if self._is_discarding:
            return
        for event in events:
            self._events.append(event)
            self._characters += _size(event)
        self._is_full = self._is_full or self._fills(1)
        self._wake()

    async def take(self) -> Event | None:
        """The next event; None after the last one, or the error that ended them.

        Cancelled, it takes nothing. Raises `UsageError` while another task waits.
        """
        if self._taker is not None:
            raise UsageError("another task waits for an event of this client already")
        while not self._events:
            if self._error is not None:
                raise self._error.with_traceback(None)  # or it would grow with each raise
            if self._is_ended:
                return None
            self._taker = asyncio.get_running_loop().create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        event = self._events.popleft()
        self._characters -= _size(event)
        if self._is_full and not self._fills(0.5):
            self._is_full = False
        self._on_taken()
        return event

    def end(self, error: Exception | None) -> None:
        """No more events come, because of `error` where there is one."""
        self._is_ended = True
        self._error = error
        self._wake()

    def discard(self) -> None:
        """Gives up what is here, and all that is put from now on."""
        self._is_discarding = True
        self._events.clear()
        self._is_full = False

    def _fills(self, part: float) -> bool:
        return (
            len(self._events) >= self._most_events * part
            or self._characters >= self._most_characters * part
        )

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _size(event: Event) -> int:
    return len(event.text) if isinstance(event, Message) else 0

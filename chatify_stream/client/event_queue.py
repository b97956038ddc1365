"""The buffer of events that a program has not received yet.

The queue is bounded, but `put` does not enforce the bound: when the queue is full, the producer
must stop until half of it was taken, unless it cannot. One task at a time takes events. Events in
the queue can still be taken after the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import UsageError
from .events import Event, Message

MAX_EVENTS = 1000
MAX_CHARACTERS = 1_000_000


@dataclass(eq=False, repr=False)
class EventQueue:
    _on_taken: Callable[[], None]
    """Called after each event that was taken."""
    max_events: int = MAX_EVENTS
    max_characters: int = MAX_CHARACTERS
    is_full: bool = False
    """Whether the producer must stop."""
    _events: deque[Event] = field(default_factory=deque)
    _characters: int = 0
    _is_discarding: bool = False
    _is_ended: bool = False
    _error: Exception | None = None
    _taker: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def put(self, *events: Event) -> None:
        """Append events. Never blocks and never fails."""
        if self._is_discarding:
            return
        for event in events:
            self._events.append(event)
            self._characters += _size(event)
        self.is_full = self.is_full or self._fills(1)
        self._wake()

    async def take(self) -> Event | None:
        """Wait for the next event and return it, or None after the last one.

        Raises the error passed to `end` after the last event, and `UsageError` while another task
        waits. Cancelling takes nothing.
        """
        if self._taker is not None:
            raise UsageError("another task is already receiving from this client")
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
        if self.is_full and not self._fills(0.5):
            self.is_full = False
        self._on_taken()
        return event

    def end(self, error: Exception | None) -> None:
        """Mark the end of the events, with the error that caused it, if any."""
        self._is_ended = True
        self._error = error
        self._wake()

    def discard(self) -> None:
        """Drop the events in the queue, and all later ones."""
        self._is_discarding = True
        self._events.clear()
        self.is_full = False

    def _fills(self, part: float) -> bool:
        return (
            len(self._events) >= self.max_events * part
            or self._characters >= self.max_characters * part
        )

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _size(event: Event) -> int:
    return len(event.text) if isinstance(event, Message) else 0

"""Test doubles: a clock that only moves on request, and a subscriber that records events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from ..rooms import Publication
from ..rooms.position import Position


class FakeClock:
    """A callable that returns Unix time in seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    @property
    def now_ms(self) -> int:
        """The current time in milliseconds."""
        return int(self.now * 1000)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds


class Recorder:
    """A `Subscriber` that keeps every event."""

    def __init__(self) -> None:
        self.begun: defaultdict[str, list[Position]] = defaultdict(list)
        """Positions given by `begins_at`, by room."""
        self.delivered: defaultdict[str, list[Publication]] = defaultdict(list)
        """Delivered publications by room."""
        self.presence: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
        """Users by room, with True for a join and False for a leave."""
        self.commands: list[bytes] = []
        """Received survey commands; the answer to a command is its bytes in reverse order."""
        self.faults: list[str] = []
        """Violations of the broker contract."""
        self._offsets: dict[str, int] = {}
        self._changed = asyncio.Event()

    def begins_at(self, room: str, position: Position) -> None:
        self.begun[room].append(position)
        self._offsets[room] = position.offset
        self._changed.set()

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        for publication in publications:
            if room not in self._offsets:
                self.faults.append(f"{room!r}: {publication} was delivered before begins_at")
            elif publication.offset != self._offsets[room] + 1:
                self.faults.append(
                    f"{room!r}: {publication} was delivered after {self._offsets[room]}"
                )
            self._offsets[room] = publication.offset
        self.delivered[room] += publications
        self._changed.set()

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        self.presence[room].append((user, joined))
        self._changed.set()

    def on_survey(self, command: bytes) -> bytes:
        self.commands.append(command)
        self._changed.set()
        return command[::-1]

    def offsets(self, room: str) -> list[int]:
        """Return the delivered offsets of a room, in order."""
        return [publication.offset for publication in self.delivered[room]]

    async def until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until `condition` holds. Raises `AssertionError` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"condition not met within {timeout:g} s; delivered: {dict(self.delivered)}, "
                f"begun: {dict(self.begun)}, presence: {dict(self.presence)}"
            ) from None

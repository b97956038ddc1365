"""A subscriber of a broker that keeps what it is told, and checks how it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from ..rooms import Publication
from ..rooms.position import Position

__all__ = ["Recorder"]


class Recorder:
    """A `Subscriber`. What it was told stays the same once it was told; nothing is forgotten."""

    def __init__(self) -> None:
        self.begun: defaultdict[str, list[Position]] = defaultdict(list)
        """By room, each time that it began."""
        self.told: defaultdict[str, list[Publication]] = defaultdict(list)
        """By room."""
        self.presence: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
        """By room: users, and whether they came (True) or went."""
        self.commands: list[bytes] = []
        """What other servers told; the answer to each is itself, backwards."""
        self.faults: list[str] = []
        """What was not told as a broker promises."""
        self._offsets: dict[str, int] = {}
        self._changed = asyncio.Event()

    def begins_at(self, room: str, position: Position) -> None:
        self.begun[room].append(position)
        self._offsets[room] = position.offset
        self._changed.set()

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        for publication in publications:
            if room not in self._offsets:
                self.faults.append(f"{room!r}: {publication} was told before the room began")
            elif publication.offset != self._offsets[room] + 1:
                self.faults.append(f"{room!r}: {publication} came after {self._offsets[room]}")
            self._offsets[room] = publication.offset
        self.told[room] += publications
        self._changed.set()

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        self.presence[room].append((user, joined))
        self._changed.set()

    def on_survey(self, command: bytes) -> bytes:
        self.commands.append(command)
        self._changed.set()
        return command[::-1]

    def offsets(self, room: str) -> list[int]:
        """The offsets that were told, in their order."""
        return [publication.offset for publication in self.told[room]]

    async def until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Waits until that is so. Raises `AssertionError` when it is not in time."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"not so within {timeout:g} s; told: {dict(self.told)}, "
                f"begun: {dict(self.begun)}, presence: {dict(self.presence)}"
            ) from None

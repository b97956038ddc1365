"""Tasks that wait in a line for what may change."""

from __future__ import annotations

import asyncio
from bisect import insort
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

__all__ = ["WaitQueue"]


@dataclass(order=True)
class _Place:
    number: int
    turn: asyncio.Future[None] = field(compare=False)


class WaitQueue:
    """A line in which the first to come is the first to be woken.

    Being woken promises nothing: who is woken looks again, and waits again if need be, with the
    number that it had.
    """

    def __init__(self) -> None:
        self._line: list[_Place] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._line)

    def new_ticket(self) -> int:
        """The place of one who comes now, before all who come later."""
        return next(self._numbers)

    async def wait(self, number: int, timeout: float | None = None) -> None:
        """Waits to be woken, or `timeout` seconds.

        Cancelled after it was woken, it wakes the next in line instead.
        """
        loop = asyncio.get_running_loop()
        place = _Place(number, loop.create_future())
        insort(self._line, place)
        timer = None if timeout is None else loop.call_later(timeout, self._time_out, place)
        try:
            await place.turn
        except asyncio.CancelledError:
            if place.turn.cancelled():
                self._leave(place)
            else:
                self.wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def wake(self, count: int = 1) -> None:
        """Wakes the first `count` in line."""
        while self._line and count > 0:
            place = self._line.pop(0)
            if not place.turn.done():  # which it is when it was cancelled just now
                place.turn.set_result(None)
                count -= 1

    def wake_all(self) -> None:
        self.wake(len(self._line))

    def _time_out(self, place: _Place) -> None:
        self._leave(place)
        if not place.turn.done():
            place.turn.set_result(None)

    def _leave(self, place: _Place) -> None:
        with suppress(ValueError):  # it was woken
            self._line.remove(place)

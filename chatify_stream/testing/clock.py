"""A clock that stands still until it is told."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """Called, it gives seconds since 1970."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    @property
    def now_ms(self) -> int:
        """The same in milliseconds."""
        return int(self.now * 1000)

    def advance(self, seconds: float) -> None:
        self.now += seconds

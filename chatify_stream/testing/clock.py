"""A clock for tests, which only moves when asked to."""

from __future__ import annotations

__all__ = ["FakeClock"]


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

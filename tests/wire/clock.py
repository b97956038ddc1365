"""A fake clock. Tests set its time."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

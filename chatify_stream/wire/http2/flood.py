"""Counts the frames that cost more to read than to send, before they are parsed.

Each kind has a token bucket. An empty one means a peer that is broken or means harm: the
connection ends with GOAWAY ENHANCE_YOUR_CALM and a text that says which bucket it was.
"""

from __future__ import annotations

from collections.abc import Callable

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from ..limits import Limits
from ..token_bucket import TokenBucket
from .frame_types import (
    ACK,
    CONTINUATION,
    DATA,
    END_STREAM,
    HEADERS,
    PADDED,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

__all__ = ["FloodError", "FrameBudget"]


MANY_SETTINGS = 32 * 6
"""Bytes of SETTINGS that count as one frame: HTTP/2 has seven, and the rest mean nothing."""


class FloodError(ProtocolError):
    """The peer sends too much of something; the text is for its GOAWAY."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class FrameBudget:
    """What one connection may still send of each kind."""

    __slots__ = ("_buckets", "_clock", "_limits")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}  # most connections need none

    def spend(self, name: str) -> None:
        """Takes a token of a bucket, by its name in `Limits`. Raises `FloodError`."""
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(getattr(self._limits, name), now)
        if not bucket.take(now):
            raise FloodError(f"too_many_{name}")

    def frame(self, kind: int, flags: int, body: bytes, *, is_open: bool) -> None:
        """Counts a frame that h2 is to parse; PING is not among them.

        `is_open`: its stream is. Raises `FloodError`.
        """
        if kind == SETTINGS and not flags & ACK:
            for _ in range(1 + len(body) // MANY_SETTINGS):
                self.spend("settings")
        elif kind == RST_STREAM and is_open:
            self.spend("resets")
        elif not _has_use(kind, flags, body, is_open):
            self.spend("glitches")


def _has_use(kind: int, flags: int, body: bytes, is_open: bool) -> bool:
    if kind == DATA:
        padding = body[0] + 1 if flags & PADDED and body else 0
        return is_open and (len(body) > padding or bool(flags & END_STREAM))
    if kind in (HEADERS, CONTINUATION):
        return bool(body)
    return kind == WINDOW_UPDATE and is_open

"""Limit the rate of frames that cost more to read than to send, before they are parsed.

Each kind of frame has a token bucket. A peer that empties it is broken or malicious: the
connection ends with GOAWAY ENHANCE_YOUR_CALM and a text that names the bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from ...limits import Limits
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

SETTINGS_UNIT = 32 * 6
"""Bytes of SETTINGS that count as one frame. HTTP/2 defines seven settings of six bytes each."""


class FloodError(ProtocolError):
    """The peer sends frames of one kind too fast. The text goes into the GOAWAY."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


@dataclass(eq=False, repr=False, slots=True)
class FrameBudget:
    """The frames of each kind that one connection may still send."""

    _limits: Limits
    _clock: Callable[[], float]
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)  # most connections need none

    def spend(self, name: str) -> None:
        """Take a token from the bucket of the limit `name`. Raises `FloodError` if it is empty."""
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(getattr(self._limits, name), now)
        if not bucket.take(now):
            raise FloodError(f"too_many_{name}")

    def count_frame(self, kind: int, flags: int, body: bytes, *, is_open: bool) -> None:
        """Take the tokens for a frame of any type but PING. Raises `FloodError`.

        `is_open`: the stream of the frame is open.
        """
        if kind == SETTINGS and not flags & ACK:
            for _ in range(1 + len(body) // SETTINGS_UNIT):
                self.spend("settings")
        elif kind == RST_STREAM and is_open:
            self.spend("resets")
        elif not _has_effect(kind, flags, body, is_open):
            self.spend("glitches")


def _has_effect(kind: int, flags: int, body: bytes, is_open: bool) -> bool:
    if kind == DATA:
        padding = body[0] + 1 if flags & PADDED and body else 0
        return is_open and (len(body) > padding or bool(flags & END_STREAM))
    if kind in (HEADERS, CONTINUATION):
        return bool(body)
    return kind == WINDOW_UPDATE and is_open

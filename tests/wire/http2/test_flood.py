"""Tests of wire/http2/flood.py."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.http2.flood import FloodError, FrameBudget

from ...support.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

RATES = {name: Rate(2, 1.0) for name in ("pings", "resets", "settings", "glitches")}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


FRAMES = {
    "settings": [(SETTINGS, 0, bytes(6), False), (SETTINGS, 0, b"", False)],
    "resets": [(RST_STREAM, 0, bytes(4), True)],
    "glitches": [
        (SETTINGS, ACK, b"", False),
        (RST_STREAM, 0, bytes(4), False),
        (DATA, 0, b"", True),
        (DATA, 0, b"late", False),
        (DATA, PADDED, b"\x03\0\0\0", True),
        (DATA, PADDED, b"", True),
        (HEADERS, 0, b"", True),
        (CONTINUATION, 0, b"", True),
        (PRIORITY, 0, bytes(5), True),
        (WINDOW_UPDATE, 0, bytes(4), False),
        (PING, ACK, bytes(8), False),
        (0xBE, 0, b"what", True),
    ],
    None: [
        (DATA, END_STREAM, b"", True),
        (DATA, 0, b"data", True),
        (DATA, PADDED, b"\x02x\0\0", True),
        (HEADERS, 0, b"block", True),
        (CONTINUATION, 0, b"block", True),
        (WINDOW_UPDATE, 0, bytes(4), True),
    ],
}


@pytest.mark.parametrize(
    ("bucket", "frame"), [(bucket, frame) for bucket, all_ in FRAMES.items() for frame in all_]
)
def test_cost_of_a_frame(bucket: str | None, frame: tuple[int, int, bytes, bool]) -> None:
    """A frame without effect takes a token from its own bucket only. Other frames are free."""
    budget = FrameBudget(Limits(**RATES), Clock())
    kind, flags, body, is_open = frame
    for _ in range(2):
        budget.count_frame(kind, flags, body, is_open=is_open)
    for name in RATES:
        if name == bucket:
            with pytest.raises(FloodError, match=f"^too_many_{name}$") as caught:
                budget.count_frame(kind, flags, body, is_open=is_open)
            assert caught.value.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        else:
            budget.spend(name)
    if bucket is None:
        budget.count_frame(kind, flags, body, is_open=is_open)


def test_buckets_refill() -> None:
    """A connection that pauses may send again."""
    clock = Clock()
    budget = FrameBudget(Limits(**RATES), clock)
    for _ in range(2):
        budget.spend("pings")
    clock.now += 1
    budget.spend("pings")
    with pytest.raises(FloodError):
        budget.spend("pings")


def test_large_settings_frames() -> None:
    """A frame with more settings than HTTP/2 defines counts as several frames."""
    budget = FrameBudget(Limits(settings=Rate(10, 1.0)), Clock())
    budget.count_frame(SETTINGS, 0, bytes(7 * 6), is_open=False)
    with pytest.raises(FloodError, match="too_many_settings"):
        budget.count_frame(SETTINGS, 0, bytes(1000 * 6), is_open=False)

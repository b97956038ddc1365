"""Tests of wire/flood.py."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.flood import FloodError, FrameBudget, TokenBucket

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x01
PADDED = 0x08

RATES = {name: Rate(2, 1.0) for name in ("pings", "resets", "settings", "glitches")}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestTokenBucket:
    def test_a_burst_and_then_a_rate(self) -> None:
        """The burst is there at once; what was taken comes back in time, and no more."""
        bucket = TokenBucket(Rate(3, 2.0), 0.0)
        assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
        assert [bucket.take(1.0) for _ in range(3)] == [True, True, False]
        assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]

    def test_asking_in_vain_costs_nothing(self) -> None:
        """Who asks again and again gets the next token as soon as any other."""
        bucket = TokenBucket(Rate(1, 1.0), 0.0)
        assert bucket.take(0.0)
        assert [bucket.take(now / 8) for now in range(1, 9)] == [False] * 7 + [True]


FRAMES = {
    "settings": [(SETTINGS, 0, bytes(6), False), (SETTINGS, 0, b"", False)],
    "resets": [(RST, 0, bytes(4), True)],
    "glitches": [
        (SETTINGS, ACK, b"", False),
        (RST, 0, bytes(4), False),
        (DATA, 0, b"", True),
        (DATA, 0, b"late", False),
        (DATA, PADDED, b"\x03\0\0\0", True),
        (DATA, PADDED, b"", True),
        (HEADERS, 0, b"", True),
        (CONTINUATION, 0, b"", True),
        (PRIORITY, 0, bytes(5), True),
        (UPDATE, 0, bytes(4), False),
        (PING, ACK, bytes(8), False),
        (0xBE, 0, b"what", True),
    ],
    None: [
        (DATA, END_STREAM, b"", True),
        (DATA, 0, b"data", True),
        (DATA, PADDED, b"\x02x\0\0", True),
        (HEADERS, 0, b"block", True),
        (CONTINUATION, 0, b"block", True),
        (UPDATE, 0, bytes(4), True),
    ],
}


@pytest.mark.parametrize(
    ("bucket", "frame"), [(bucket, frame) for bucket, all_ in FRAMES.items() for frame in all_]
)
def test_what_a_frame_costs(bucket: str | None, frame: tuple[int, int, bytes, bool]) -> None:
    """Each useless frame is paid from its bucket, alone; a useful one is free."""
    budget = FrameBudget(Limits(**RATES), Clock())
    kind, flags, body, is_open = frame
    for _ in range(2):
        budget.frame(kind, flags, body, is_open=is_open)
    for name in RATES:
        if name == bucket:
            with pytest.raises(FloodError, match=f"^too_many_{name}$") as caught:
                budget.frame(kind, flags, body, is_open=is_open)
            assert caught.value.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        else:
            budget.spend(name)
    if bucket is None:
        budget.frame(kind, flags, body, is_open=is_open)


def test_time_heals() -> None:
    """A connection that waits may send again."""
    clock = Clock()
    budget = FrameBudget(Limits(**RATES), clock)
    for _ in range(2):
        budget.spend("pings")
    clock.now += 1
    budget.spend("pings")
    with pytest.raises(FloodError):
        budget.spend("pings")

"""Tests of server/rooms/pulse.py, with clocks of their own."""

from __future__ import annotations

import pytest

from chatify_stream.server.rooms.pulse import INTERVAL, Load, Pulse


class Beating:
    """A pulse whose clocks and counts a test moves; it never waits for the event loop."""

    def __init__(self) -> None:
        self.now = self.cpu = 100.0
        self.published = self.delivered = 0
        self.is_available = True
        self.told: list[bool] = []
        self.pulse = Pulse(
            lambda: (self.published, self.delivered),
            lambda: self.is_available,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu,
        )
        self.pulse.on_availability = self.told.append

    def beat(self, late: float = 0.0) -> None:
        due_at = self.now + INTERVAL
        self.now = due_at + late
        self.pulse.stop()
        self.pulse._beat(due_at)


@pytest.fixture
async def beating() -> Beating:
    return Beating()


async def test_at_first(beating: Beating) -> None:
    """Nothing is known of the load, and the broker is known at once."""
    assert beating.pulse.load == Load(0, 0, 0, 0)
    beating.pulse.start()
    assert beating.pulse.load == Load(0, 0, 0, 0)
    assert beating.told == [True]
    beating.pulse.stop()


async def test_rates(beating: Beating) -> None:
    """Rates are of the last seconds, and what was before them does not count."""
    beating.published = 1_000_000
    beating.pulse.start()
    for _ in range(20):
        beating.published += 10
        beating.delivered += 50
        beating.cpu += 0.25
        beating.beat()
    assert beating.pulse.load == Load(0.25, 0, 10, 50)
    for _ in range(5):
        beating.beat()
    assert beating.pulse.load == Load(0, 0, 0, 0)
    beating.pulse.stop()


async def test_lag(beating: Beating) -> None:
    """The longest lag of the last seconds counts, and is forgotten then."""
    beating.pulse.start()
    beating.beat(late=0.5)
    beating.beat(late=0.125)
    assert beating.pulse.load.loop_lag == 0.5
    for _ in range(6):
        beating.beat()
    assert beating.pulse.load.loop_lag == 0
    beating.pulse.stop()


async def test_availability(beating: Beating, caplog: pytest.LogCaptureFixture) -> None:
    """A change is told once, and logged; started again, how it is is told again."""
    caplog.set_level("INFO")
    beating.pulse.start()
    for is_available in (True, False, False, True, True):
        beating.is_available = is_available
        beating.beat()
    assert beating.told == [True, False, True]
    assert caplog.messages == [
        "the broker is away: what is said in rooms waits, or is refused",
        "the broker is there again",
    ]
    beating.pulse.stop()
    beating.pulse.start()
    assert beating.told == [True, False, True, True]
    beating.pulse.stop()
    beating.pulse.stop()

"""The short form of the soak; `tox -e soak` is the long one."""

from __future__ import annotations

from ..footprint import Footprint
from .cycles import CYCLES
from .run import soak

CYCLES_OF_EACH = 40


async def test_nothing_is_left_of_any_cycle() -> None:
    """However clients come and go: no stream, connection, task or descriptor is left of them."""
    seen: list[Footprint] = []
    await soak(CYCLES_OF_EACH * len(CYCLES), 10_000, 1, lambda _, now: seen.append(now))
    before, after = seen
    assert after.left_since(before) is None

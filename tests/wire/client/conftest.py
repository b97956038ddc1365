from __future__ import annotations

import pytest

from ..clock import Clock
from ..fake_dialer import FakeDialer
from ..pools import Pools


@pytest.fixture
def pools(clock: Clock) -> Pools:
    return Pools(clock)


@pytest.fixture
def dialer(pools: Pools) -> FakeDialer:
    return pools.dialer

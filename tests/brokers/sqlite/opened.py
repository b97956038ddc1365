"""A broker from `open` to `close`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft
from chatify_stream.testing import FakeClock, Recorder

NOW_MS = FakeClock().now_ms


@asynccontextmanager
async def opened(path: Path, *args: Any, **options: Any) -> AsyncIterator[SQLiteBroker]:
    broker = SQLiteBroker(path, *args, **{"clock": FakeClock(), **options})
    try:
        await broker.open(Recorder())
        yield broker
    finally:
        await broker.close()


async def why_not(path: Path) -> str:
    """Why it cannot be opened."""
    with pytest.raises(BrokerError) as caught:
        async with opened(path):
            pass
    assert str(caught.value) == f"the broker sqlite:///{path}: {caught.value.reason}"
    return caught.value.reason


def drafts(texts: Iterable[object], now_ms: int = NOW_MS) -> list[Draft]:
    """Without ids."""
    return [Draft("ada", str(text), "", now_ms) for text in texts]
